"""The records of a datalist: their fields checked, their file names absolute in use and relative in the file."""

import itertools
import math
import os.path
from pathlib import Path
from typing import Any

from medgenesis.data.classes import are_findings
from medgenesis.data.intensity import check_preset
from medgenesis.errors import DatalistError
from medgenesis.io.suffixes import split_suffix


def check_record(record: Any, path: Path, section: str) -> dict:
    """The record with absolute file names; one that is a text is an image, as in the Decathlon's `test`.

    Args:
        record: as it stands in the list.
        path: of the list, whose folder relative names begin at.
        section: of the record, for messages.

    Raises:
        DatalistError: a field that is malformed.
    """
    where = f"{path}: a record of {section!r}"
    if isinstance(record, str):  # as the Decathlon has them in `test`
        record = {"image": record}
    if not isinstance(record, dict) or not record.get("image"):
        raise DatalistError(f'{where}: must be an object with "image"; found {record!r}. Correct the record.')
    for key in ("image", "label"):
        names = _names(record.get(key, "absent"))
        if not (names and all(isinstance(name, str) and name.strip() for name in names)):
            raise DatalistError(
                f'{where}: "{key}" must be a file name or a list of them; found {record[key]!r}. Correct the record.'
            )
    mapped = _mapped(record, lambda name: os.path.normpath(path.parent.absolute() / name))
    both = {*_names(mapped["image"])} & {*_names(mapped.get("label", []))}  # however each is spelt
    if both and not str(record["image"]).lower().endswith(".npz"):  # of nnU-Net, which holds both
        raise DatalistError(
            f'{where}: "label" must be another file than "image"; found {record["label"]!r} as both. Correct the '
            "record."
        )
    if not isinstance(record.get("patient", ""), (str, int)):
        raise DatalistError(
            f'{where}: "patient" must be a text or a number; found {record["patient"]!r}. Correct the record.'
        )
    if not isinstance(record.get("series", ""), str):
        raise DatalistError(
            f'{where}: "series" must be the name of a DICOM series; found {record["series"]!r}. Correct the record.'
        )
    weight, cube = record.get("weight", 1), record.get("cube", 0)
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not (math.isfinite(weight) and weight > 0):
        raise DatalistError(
            f'{where}: "weight" must be a number above 0; found {weight!r}. Correct the record, or leave the weight '
            "out."
        )
    if isinstance(cube, bool) or not isinstance(cube, int) or cube < 0:
        raise DatalistError(f'{where}: "cube" must be a row number from 0; found {cube!r}. Correct the record.')
    if not are_findings(record.get("classes", [])):
        raise DatalistError(
            f'{where}: "classes" must be a list of 0 and 1, one for each finding; found '
            f"{record['classes']!r}. Correct the record."
        )
    if record.get("intensity") is not None:
        try:
            check_preset(record["intensity"])
        except (TypeError, ValueError) as error:
            raise DatalistError(
                f'{where}: "intensity" must be a preset or its arguments; found {record["intensity"]!r}. {error}'
            ) from error
    return mapped


def with_channel_files(record: dict) -> dict:
    """The record; where its image is absent, and files of that name with nnU-Net's channel (`_0000`) are there, with
    these as the image.
    """
    image = record["image"]
    if not isinstance(image, str) or file_exists(image):
        return record
    return {**record, "image": _channel_files(image) or image}


def relative_record(record: dict, folder: Path) -> dict:
    """The record with names relative to the folder, of files below it."""

    def relative(name: str) -> str:
        file = Path(os.path.normpath(Path(name).absolute()))
        return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.as_posix()

    return _mapped(record, relative)


def _mapped(record: dict, rename) -> dict:
    renamed = dict(record)
    for key in ("image", "label"):
        if key in record:
            value = record[key]
            renamed[key] = [rename(name) for name in value] if isinstance(value, list) else rename(value)
    return renamed


def file_exists(name: str) -> bool:
    """Whether there is such a file or folder; no for a name that cannot be one."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a name that is too long for the file system, or no name
        return False


def files_of(record: dict) -> list[str]:
    """The files that a record names: images and labels."""
    return [name for key in ("image", "label") if key in record for name in _names(record[key])]


def _names(value: Any) -> list:
    return value if isinstance(value, list) else [value]


def _channel_files(name: str) -> str | list[str] | None:
    """`case_0000.nii.gz`, … of `case.nii.gz`."""
    path = Path(name)
    stem, suffix = split_suffix(path.name)
    numbered = (str(path.parent / f"{stem}_{i:04d}{suffix}") for i in itertools.count())
    found = list(itertools.takewhile(file_exists, numbered))
    return found[0] if len(found) == 1 else found or None
