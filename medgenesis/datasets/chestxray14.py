"""ChestX-ray14: as NIH publishes it, or by list files of a file name and 14 findings a line, as they are."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.patients import patient_of
from medgenesis.data.splits import SECTIONS, check_disjoint, split_patients
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.tables import rows_of_table
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
        raise DatalistError(
            f"lists: must be one to three list files (training, validation, test); found {len(lists)}. Give them in "
            "this order."
        )
    found = _find(Path(images))
    parts = [_read(Path(path), found, images) for path in lists]
    if len(parts) == 1:
        section_of = split_patients((record["patient"] for record in parts[0]), splits, seed)
        parts = [[record for record in parts[0] if section_of[record["patient"]] == section] for section in SECTIONS]
    sections = dict(zip(SECTIONS, [*parts, [], []][:3], strict=True))
    return _datalist(sections, name)


def published_datalist(
    root: str | Path, *, validation: float = 0.1, seed: int = 0, name: str = "ChestX-ray14"
) -> dict[str, Any]:
    """A datalist of the data set as NIH publishes it, by the official lists.

    Args:
        root: folder with `train_val_list.txt`, `test_list.txt`, `Data_Entry_2017*.csv`, and the images at any depth.
        validation: share of the patients of `train_val_list.txt` that become the validation section.
        seed: of that choice.
        name: of the datalist.

    Returns:
        As `chestxray14_datalist`, with `classes` from the table: 1 for each finding that it names.

    Raises:
        DatalistError: a file that is absent, several tables, an image that the table lacks or has twice, a finding that
            is none of the 14, or one beside "No Finding"; what `chestxray14_datalist` raises.
    """
    root = Path(root)
    lists = [root / "train_val_list.txt", root / "test_list.txt"]
    tables = sorted(root.glob("Data_Entry_2017*.csv"))
    absent = [path.name for path in lists if not path.is_file()]
    if absent or len(tables) != 1:
        raise DatalistError(
            f"{root}: must hold train_val_list.txt, test_list.txt and one Data_Entry_2017*.csv; found "
            f"{len(tables)} such table(s), and {' and '.join(absent) or 'no list'} absent. Give NIH's folder."
        )
    found, findings = _find(root), _findings(tables[0])
    seen, test = (_with_findings(_read(path, found, root), findings, tables[0]) for path in lists)
    section_of = split_patients((record["patient"] for record in seen), (1 - validation, validation, 0.0), seed)
    sections = {one: [record for record in seen if section_of[record["patient"]] == one] for one in SECTIONS[:2]}
    return _datalist({**sections, "test": test}, name)


def _findings(table: Path) -> dict[str, list[int]]:
    """The 14 numbers of each image, from `Image Index` and `Finding Labels` ("Mass|Nodule", "No Finding")."""
    found: dict[str, list[int]] = {}
    for row in rows_of_table(table, "Image Index", "Finding Labels"):
        image, written = row["Image Index"].strip(), row["Finding Labels"].split("|")
        named = set(written) - {"No Finding"}
        if image in found:
            raise DatalistError(f"{table}: {image}: must have one row; found a second one. Take one out.")
        if named and "No Finding" in written:
            raise DatalistError(
                f"{table}: {image}: must name findings, or No Finding; found both, {row['Finding Labels']!r}. Correct "
                "the row."
            )
        if unknown := sorted(named - set(FINDINGS)):
            raise DatalistError(
                f"{table}: {image}: must name some of the 14 findings; found {unknown[0]!r}. Give NIH's table."
            )
        found[image] = [int(finding in named) for finding in FINDINGS]
    return found


def _with_findings(records: list[dict], findings: dict[str, list[int]], table: Path) -> list[dict]:
    names = [Path(record["image"]).name for record in records]
    absent = [name for name in names if name not in findings]
    if absent:
        raise DatalistError(
            f"{table}: must have a row for each image; found none for {len(absent)}, the first "
            f"{', '.join(absent[:3])}. Take the table that belongs to the lists."
        )
    return [{**record, "classes": findings[name]} for record, name in zip(records, names, strict=True)]


def _datalist(sections: dict[str, list[dict]], name: str) -> dict[str, Any]:
    header = {"name": name, "modality": {"0": "X-ray"}, "class_names": list(FINDINGS), "patient_keys": ["file name"]}
    datalist = {**header, **sections}
    check_disjoint(datalist)
    counts = ", ".join(f"{len(records)} {section}" for section, records in sections.items())
    logger.info("%d images: %s", sum(map(len, sections.values())), counts)
    return datalist


def _find(images: Path) -> dict[str, Path]:
    """Path of each file below a folder, by its name; the first of several that are called alike."""
    if not images.is_dir():
        raise DatalistError(f"{images}: must be a folder; found none. Give the folder that holds the images.")
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
        raise DatalistError(
            f"{path}: cannot be read as a list of images ({error}). Give a text file with a file name a line."
        ) from error
    records = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            image, classes = _parsed(line, f"{path}, line {number}")
            if image in records:
                raise DatalistError(
                    f"{path}, line {number}: must name each image once; found {image} in the list already. Take one "
                    "out."
                )
            records[image] = {"patient": patient_of(Path(image).stem), "intensity": "xray", **classes}
    if not records:
        raise DatalistError(f"{path}: must name images; found none in it. Give a list with a file name a line.")
    if len(records) < len(lines):
        logger.warning("%s: %d blank lines skipped", path, len(lines) - len(records))
    absent = [image for image in records if image not in found]
    if absent:
        raise DatalistError(
            f"{path}: its images must be below {images}; found {len(absent)} of {len(records)} absent, the first "
            f"{', '.join(absent[:3])}. Unpack all archives there."
        )
    return [{"image": str(found[image]), **record} for image, record in records.items()]


def _parsed(line: str, where: str) -> tuple[str, dict[str, list[int]]]:
    image, *values = line.split()
    if not values:
        return image, {}
    if len(values) != len(FINDINGS) or not set(values) <= {"0", "1"}:
        raise DatalistError(
            f"{where}: must be a file name and {len(FINDINGS)} findings, 0 or 1, with blanks between; found "
            f"{line[:80]!r}. Give the published list."
        )
    return image, {"classes": [int(value) for value in values]}


DATASET = PublishedDataset(
    name="chestxray14",
    title="NIH ChestX-ray14: 112 120 chest X-rays, 14 findings",
    holds="train_val_list.txt, test_list.txt, Data_Entry_2017*.csv, and the images at any depth",
    source="https://nihcc.app.box.com/v/ChestXray-NIHCC (NIH Clinical Center; see its terms)",
    datalist=published_datalist,
)
