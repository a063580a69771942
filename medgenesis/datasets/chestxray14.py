"""The published list files of ChestX-ray14: a file name and 14 findings a line, as they are."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.splits import SECTIONS, check_disjoint, patient_of, split_patients
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
"""The columns of the lists, in their order."""


def chestxray14_datalist(
    lists: Sequence[str | Path],
    images: str | Path,
    *,
    splits: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    name: str = "ChestX-ray14",
) -> dict[str, Any]:
    """A datalist of the images that list files name, in sections of different patients.

    Args:
        lists: one to three text files. Each line: a file name and 14 findings (0 or 1), with blanks between; or, as in
            the official lists, a file name alone. Blank lines are skipped, and counted in the log. Several files are
            the training, validation and test section; one is split by patient.
        images: folder of the images, at any depth (`images_001/images/…`).
        splits: shares of the patients for training, validation and test, of a single list.
        seed: of that split.
        name: of the datalist.

    Returns:
        A datalist whose records have `image`, `classes` (14 numbers, where the line has them), `patient` (what the file
        name begins with, the pseudonym that NIH gave) and `intensity` ("xray").

    Raises:
        DatalistError: an unreadable or empty list, a line that is neither (with its number), an image named twice,
            absent images (how many, and the first), or a patient in two sections.
    """
    if not 1 <= len(lists) <= len(SECTIONS):
        raise DatalistError(f"give one to three list files (training, validation, test), got {len(lists)}")
    found = _find(Path(images))
    parts = [_read(Path(path), found, images) for path in lists]
    if len(parts) == 1:
        section_of = split_patients((record["patient"] for record in parts[0]), splits, seed)
        parts = [[record for record in parts[0] if section_of[record["patient"]] == section] for section in SECTIONS]
    sections = dict(zip(SECTIONS, [*parts, [], []][:3], strict=True))
    datalist = {"name": name, "modality": {"0": "X-ray"}, "class_names": list(FINDINGS), **sections}
    check_disjoint(datalist)
    counts = ", ".join(f"{len(records)} {section}" for section, records in sections.items())
    logger.info("%d images: %s", sum(map(len, parts)), counts)
    return datalist


def _find(images: Path) -> dict[str, Path]:
    """Path of each file below a folder, by its name; the first of several that are called alike."""
    if not images.is_dir():
        raise DatalistError(f"{images}: no such folder: give the folder that holds the images")
    paths: dict[str, Path] = {}
    for folder, folders, files in os.walk(images):
        folders.sort()
        for file in files:
            paths.setdefault(file, Path(folder, file))
    return paths


def _read(path: Path, found: dict[str, Path], images: str | Path) -> list[dict]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatalistError(f"{path}: cannot be read as a list of images ({error})") from error
    records = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            image, classes = _parsed(line, f"{path}, line {number}")
            if image in records:
                raise DatalistError(f"{path}, line {number}: {image} stands in the list already: take one out")
            records[image] = {"patient": patient_of(Path(image).stem), "intensity": "xray", **classes}
    if not records:
        raise DatalistError(f"{path}: no image is named in it: give a list with a file name a line")
    if len(records) < len(lines):
        logger.warning("%s: %d blank lines skipped", path, len(lines) - len(records))
    absent = [image for image in records if image not in found]
    if absent:
        raise DatalistError(
            f"{path}: {len(absent)} of {len(records)} images are not below {images}, the first "
            f"{', '.join(absent[:3])}: is everything unpacked there?"
        )
    return [{"image": str(found[image]), **record} for image, record in records.items()]


def _parsed(line: str, where: str) -> tuple[str, dict[str, list[int]]]:
    image, *values = line.split()
    if not values:
        return image, {}
    if len(values) != len(FINDINGS) or not set(values) <= {"0", "1"}:
        raise DatalistError(
            f"{where}: must be a file name and {len(FINDINGS)} findings, 0 or 1, with blanks between, got {line[:80]!r}"
        )
    return image, {"classes": [int(value) for value in values]}
