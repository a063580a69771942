"""The transfer study's own splits: shuffled images, of which the first share trains; and ours, by patient."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.data.splits import SECTIONS, split_patients
from medgenesis.datasets.checked_files import checked_files
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)

SPLITS = (0.6, 0.2, 0.2)
_SEED = 42  # of pandas' sample(frac=1, random_state=42), which draws this permutation


def by_patient(
    records: list[dict],
    header: dict[str, Any],
    splits: Sequence[float] = SPLITS,
    seed: int = 0,
    *,
    by_class: bool = True,
) -> dict[str, Any]:
    """A datalist whose sections have different patients.

    Args:
        records: with `image` and `patient`.
        header: of the list.
        splits: shares of the patients for training, validation and test.
        seed: of the draw.
        by_class: where all records have a class, each class is cut by itself (that of a patient's first record).
    """
    strata = None
    if by_class and all("class" in record for record in records):
        strata = {record["patient"]: record["class"] for record in records[::-1]}
    section_of = split_patients((record["patient"] for record in records), splits, seed, strata)
    sections = {one: [record for record in records if section_of[record["patient"]] == one] for one in SECTIONS}
    return {"patient_keys": ["table"], **header, **sections}


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
