"""What few-shot, knn and linear are given: a table of finite features, and the class of each row as a whole number."""

import numpy as np

from medgenesis.transfer.scratch import chunks


def check_vectors(vectors: np.ndarray) -> None:
    """Refuse features that are no table (N, d), or not finite: a nearest one would be told of them all the same.

    Raises:
        ValueError: with the first row that is not finite.
    """
    if vectors.ndim != 2:
        raise ValueError(f"vectors: must be a table (N, d); found shape {vectors.shape}. Give a row a record.")
    start = 0
    for some in chunks(vectors, np.arange(len(vectors))):
        finite = np.isfinite(some).all(1)
        if not finite.all():
            raise ValueError(
                f"vectors: must be finite; found NaN or infinity in row {start + int(finite.argmin())}. Look at its "
                "image, or leave it out."
            )
        start += len(some)


def check_labels(labels: np.ndarray, rows: np.ndarray | None = None) -> None:
    """Refuse labels (N,) that do not number classes, or that are below 0 in these rows; None: in none.

    Raises:
        ValueError: with what was found.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels: must be whole numbers, of classes that are numbered from 0; found {labels.dtype}. Number the "
            "classes, and give labels.astype(int)."
        )
    if rows is not None and len(rows) and labels[rows].min() < 0:
        raise ValueError(
            f"labels: must be from 0 in every record that is learnt from or judged; found {labels[rows].min()}. Leave "
            "out records whose class is not known."
        )
