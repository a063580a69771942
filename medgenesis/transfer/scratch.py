"""Rows of a memory-mapped table, changed, for a library that wants them all at once: in memory or in a file."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

_CHUNK = 1024  # rows at a time
_IN_MEMORY = 2**26  # bytes; what is larger lies in a file


def chunks(vectors: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """These rows as float64, some at a time."""
    for start in range(0, len(rows), _CHUNK):
        yield vectors[rows[start : start + _CHUNK]].astype(np.float64)


def changed_rows(vectors: np.ndarray, rows: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """These rows, changed: float64 (len(rows), d); above 64 MiB in a file beside the vectors' own that is gone with
    the array, so that memory does not grow with the number of images.

    Args:
        vectors: (N, d), memory-mapped or not.
        rows: indices.
        change: of some rows, float64.
    """
    shape = len(rows), vectors.shape[1]
    if 8 * shape[0] * shape[1] <= _IN_MEMORY:
        found = np.empty(shape)
    else:
        beside = getattr(vectors, "filename", None)
        with tempfile.TemporaryFile(dir=Path(beside).parent if beside else None) as file:
            found = np.memmap(file, np.float64, "w+", shape=shape)  # keeps the file open
    start = 0
    for some in chunks(vectors, rows):
        found[start : start + len(some)] = change(some)
        start += len(some)
    return found


def mean_and_deviation(vectors: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of these rows, (d,) each; a deviation of 0 counts as 1."""
    mean = sum(some.sum(0) for some in chunks(vectors, rows)) / len(rows)
    deviation = np.sqrt(sum(((some - mean) ** 2).sum(0) for some in chunks(vectors, rows)) / len(rows))
    return mean, np.where(deviation > 1e-12, deviation, 1.0)
