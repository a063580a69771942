"""The transfer study's own splits: shuffled images, of which the first share trains; and ours, by patient."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.datasets.shared_folder import SPLITS, by_patient, checked_files
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)

_SEED = 42  # of pandas' sample(frac=1, random_state=42), which draws this permutation


def study_order(count: int) -> np.ndarray:
    """The order in which the study shuffles the rows of a table."""
    return np.random.RandomState(_SEED).permutation(count)


def split_as(
    split: str,
    records: Sequence[dict | None],
    root: Path,
    header: dict[str, Any],
    *,
    splits: Sequence[float] = SPLITS,
    seed: int = 0,
    first: int | None = None,
    left_out: str = "",
) -> dict[str, Any]:
    """A datalist of a table's rows, split in one of two ways.

    Args:
        split: "patient": drawn by patient, of each class; "reference": the study's, by image, which has patients on
            both sides where they have several images; it has no validation section.
        records: one a row, in the table's order; None for a row that the study drops (after the shuffle).
        root: of the data set, for messages.
        header: of the list.
        splits: shares of the patients, of "patient".
        seed: of "patient".
        first: rows of the training section, of "reference"; None: four fifths.
        left_out: why rows are dropped, for the log, which counts them.

    Raises:
        ValueError: another split.
        DatalistError: files absent, an image twice, or too few patients.
    """
    if split not in ("patient", "reference"):
        raise ValueError(f"split: must be patient or reference; found {split!r}. Choose one of them.")
    kept = checked_files([record for record in records if record is not None], root)
    if len(kept) < len(records):
        count = len(records) - len(kept)
        logger.info("%s: %d of %d images left out: %s", header["name"], count, len(records), left_out)
    images = [record["image"] for record in kept]
    twice = next((name for name in images if images.count(name) > 1), None) if len(set(images)) < len(images) else None
    if twice is not None:
        raise DatalistError(f"{root}: must list each image once; found {Path(twice).name} twice. Take one row out.")
    if split == "patient":
        return by_patient(kept, header, splits, seed)
    order = study_order(len(records))
    cut = int(0.8 * len(records)) if first is None else first
    parts = (order[:cut], order[cut:])
    training, test = ([records[row] for row in rows if records[row] is not None] for rows in parts)
    return {"patient_keys": ["table"], **header, "split": "reference", "training": training, "test": test}
