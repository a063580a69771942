"""Vectors and what is known of them in one file: `.npz` without a pickle, what is known as JSON."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from medgenesis.errors import DatalistError
from medgenesis.storage.atomic import replacing

T = TypeVar("T")


def save_vectors(path: str | Path, vectors: np.ndarray, about: Mapping[str, Any], format: int) -> None:
    """Write vectors, (N, F), and what is known of them, as plain JSON, whole or not at all.

    Args:
        path: the file, of any name.
        vectors: in the type in which they are kept.
        about: what is known.
        format: number of the form of `about`, which grows when older code cannot read it.

    Raises:
        OutputError: the file cannot be written.
    """
    text = np.frombuffer(json.dumps({"format": format, **about}).encode(), np.uint8)
    # an open file, because NumPy appends `.npz` to a name without it
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, vectors=vectors, about=text)


def load_vectors(path: str | Path, made: Callable[[np.ndarray, dict[str, Any]], T], format: int, what: str) -> T:
    """What is made of a file that `save_vectors` wrote.

    Args:
        path: the file.
        made: of the vectors and what is known of them; what it raises is damage too.
        format: the newest that `made` knows.
        what: is read, for the message.

    Raises:
        DatalistError: the file is absent, damaged, or of a newer format.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            vectors, about = archive["vectors"], json.loads(archive["about"].tobytes())
        if about["format"] > format:
            raise DatalistError(
                f"{path}: its format must be at most {format}; found {about['format']}. Update medgenesis."
            )
        return made(vectors, about)
    except DatalistError:
        raise
    except Exception as error:  # a damaged archive raises errors of zlib, zipfile, json and NumPy
        reason = str(error) or type(error).__name__
        raise DatalistError(
            f"{path}: cannot be read as {what} ({reason}). Remove it, and compute them anew."
        ) from error
