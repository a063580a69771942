"""JSON as people and programs write it: in any Unicode encoding, with or without a mark of it."""

import json
from pathlib import Path
from typing import Any

from medgenesis.errors import DatalistError


def read_json_object(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file: UTF-8 or UTF-16, with or without a byte order mark.

    Bytes that are no UTF-8, in file names written by other systems, become what Python takes for them in paths.

    Raises:
        FileNotFoundError: there is none.
        DatalistError: unreadable, no JSON, no object, or a name in it twice.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        read = json.loads(content.decode(json.detect_encoding(content), "surrogateescape"), object_pairs_hook=_unique)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DatalistError(
            f"{path}: cannot be read as a datalist ({error}). Make one by `medgenesis datalist`."
        ) from error
    if not isinstance(read, dict):
        raise DatalistError(
            f"{path}: must be a JSON object; found {type(read).__name__}. Make a list by `medgenesis datalist`."
        )
    return read


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"name: must stand once in an object; found {twice!r} twice. Take one out.")
    return found
