"""Datalists in the Decathlon style: JSON that names the scans of each section, read, checked, written and joined."""

import json
import logging
import math
import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.classes import are_findings
from medgenesis.data.intensity import check_preset
from medgenesis.data.splits import SECTIONS, check_disjoint
from medgenesis.errors import DatalistError
from medgenesis.storage.atomic import write_text

logger = logging.getLogger(__name__)


def load_datalist(path: str | Path, section: str = "training", on_error: str = "stop") -> list[dict]:
    """The records of one section, file names absolute.

    A record has `image` and, where given, `label`, `patient`, `weight` (how often it is drawn), `cube` (row of a
    stack), `intensity` (its own preset, see `ScaleIntensityPresetd`), `class` (a whole number) or `classes` (0 or 1 for
    each of several findings).

    Args:
        path: the list.
        section: "training", "validation" or "test".
        on_error: "stop" at absent files, or "skip" the records that name them, with a warning.

    Raises:
        DatalistError: unreadable or malformed list, no such section, or absent files (how many, and the first); with
            "skip" only where no record is left.
    """
    datalist = read_datalist(path)
    if section not in datalist:
        present = ", ".join(name for name in SECTIONS if name in datalist)
        raise DatalistError(
            f"{path}: must have the section {section!r}; found {present or 'none'}. Name another section, or add it to "
            "the list."
        )
    names = dict.fromkeys(name for record in datalist[section] for name in _files(record))
    absent = [name for name in names if not Path(name).exists()]
    gone = set(absent)
    present = [record for record in datalist[section] if gone.isdisjoint(_files(record))]
    if absent and (on_error != "skip" or not present):
        raise DatalistError(
            f"{path}: the files of section {section!r} must be there; found {len(absent)} of {len(names)} absent, the "
            f"first {', '.join(absent[:3])}. Mount the disk, or move them to their paths, which are relative to the "
            "list's folder."
        )
    if absent:
        left = len(datalist[section]) - len(present)
        logger.warning("%s: %d records of %r skipped, files absent: %s", path, left, section, ", ".join(absent))
    return present


def datalist_header(path: str | Path) -> dict[str, Any]:
    """What a list says besides its records: `name`, `modality`, `labels`, `label_merge`."""
    return {key: value for key, value in read_datalist(path).items() if key not in SECTIONS}


def read_datalist(path: str | Path) -> dict[str, Any]:
    """The whole list, file names absolute; the files need not exist.

    Raises:
        DatalistError: unreadable or malformed.
    """
    path = Path(path)
    try:
        datalist = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatalistError(
            f"{path}: must be a datalist; found no file, looked for from {Path.cwd()}. Check the path; `medgenesis "
            "datalist` makes one of your scans, `medgenesis phantom data` one to try."
        ) from error
    except (OSError, ValueError) as error:
        raise DatalistError(
            f"{path}: cannot be read as a datalist ({error}). Make one by `medgenesis datalist`."
        ) from error
    if not isinstance(datalist, dict) or not any(section in datalist for section in SECTIONS):
        raise DatalistError(
            f"{path}: a datalist must be an object with one of {', '.join(SECTIONS)}; found none of them. Make one by "
            "`medgenesis datalist`."
        )
    for section in SECTIONS:
        if section in datalist:
            datalist[section] = [
                _checked(record, path, section) for record in _as_list(datalist[section], path, section)
            ]
    return datalist


def write_datalist(datalist: Mapping[str, Any], path: str | Path) -> None:
    """Write a list, whole or not at all; files below its folder get relative names.

    Raises:
        DatalistError: the folder cannot be written.
    """
    path = Path(path)
    folder = path.parent.absolute()
    written = dict(datalist)
    for section in SECTIONS:
        if section in written:
            written[section] = [_relative(record, folder) for record in written[section]]
    try:
        write_text(path, json.dumps(written, indent=1) + "\n")
    except OSError as error:
        raise DatalistError(f"{path}: cannot be written ({error}). Choose another folder, or free the disk.") from error


def join_datalists(weighted: Sequence[tuple[str | Path, float]], name: str = "joined") -> dict[str, Any]:
    """One list of several, from which the data sets are drawn in proportion to their weights, whatever their sizes.

    A record's weight becomes, within its section, the list's weight times the record's share of its list, scaled so
    that the mean weight is 1. Of the headers, what all lists agree on is kept.

    Args:
        weighted: path and weight (above 0) of each list.
        name: of the new list.

    Raises:
        DatalistError: a weight that is not above 0, or a patient in two sections of the result.
    """
    weights = [weight for _, weight in weighted]
    if not weights or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise DatalistError(f"weights: each list to join needs one above 0; found {weights}. Give one number a list.")
    lists = [read_datalist(path) for path, _ in weighted]
    header = {key: value for key, value in lists[0].items() if key not in SECTIONS}
    agreed = {key: value for key, value in header.items() if all(other.get(key) == value for other in lists)}
    joined: dict[str, Any] = {**agreed, "name": name}
    for section in SECTIONS:
        joined[section] = _mixed([(one.get(section, []), weight) for one, weight in zip(lists, weights, strict=True)])
    check_disjoint(joined)
    return joined


def _mixed(parts: list[tuple[list[dict], float]]) -> list[dict]:
    parts = [(records, weight) for records, weight in parts if records]
    mean = sum(weight for _, weight in parts) / max(1, sum(len(records) for records, _ in parts))
    mixed = []
    for records, weight in parts:
        total = sum(record.get("weight", 1.0) for record in records)
        mixed += [{**record, "weight": weight * record.get("weight", 1.0) / total / mean} for record in records]
    return mixed


def _as_list(records: Any, path: Path, section: str) -> list:
    if not isinstance(records, list):
        raise DatalistError(
            f"{path}: section {section!r} must be a list of records; found {type(records).__name__}. Make one by "
            "`medgenesis datalist`."
        )
    return records


def _checked(record: Any, path: Path, section: str) -> dict:
    where = f"{path}: a record of {section!r}"
    if not isinstance(record, dict) or not record.get("image"):
        raise DatalistError(f'{where}: must be an object with "image"; found {record!r}. Correct the record.')
    for key in ("image", "label"):
        if key in record and not all(isinstance(name, str) for name in _names(record[key])):
            raise DatalistError(
                f'{where}: "{key}" must be a file name or a list of them; found {record[key]!r}. Correct the record.'
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
    return _mapped(record, lambda name: os.path.normpath(path.parent.absolute() / name))


def _relative(record: dict, folder: Path) -> dict:
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


def _files(record: dict) -> list[str]:
    return [name for key in ("image", "label") if key in record for name in _names(record[key])]


def _names(value: Any) -> list:
    return value if isinstance(value, list) else [value]
