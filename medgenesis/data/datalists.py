"""Datalists in the Decathlon style: JSON that names the scans of each section, read, checked and written."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.json_files import read_json_object
from medgenesis.data.list_warnings import warn_of_list
from medgenesis.data.records import check_record, file_exists, files_of, relative_record, with_channel_files
from medgenesis.data.splits import ALL_SECTIONS, UNLABELED
from medgenesis.errors import DatalistError
from medgenesis.storage.atomic import write_text

logger = logging.getLogger(__name__)


def load_datalist(
    path: str | Path, section: str = "training", on_error: str = "stop", unlabeled: bool = False
) -> list[dict]:
    """The records of one section, file names absolute.

    A record has `image` (a file, or one for each channel) and, where given, `label`, `patient`, `weight` (how often it
    is drawn), `cube` (row of a stack), `series` (one DICOM series of several in a folder), `intensity` (its own preset,
    see `ScaleIntensityPresetd`), `class` (a whole number) or `classes` (0 or 1 for each of several findings). All are
    data: what they say is never a part of a config. Where an image is absent, and files of its name with nnU-Net's
    channel (`_0000`, …) are there, these are the image.

    Args:
        path: the list.
        section: "training", "validation", "test" or "unlabeled".
        on_error: "stop" at absent files, or "skip" the records that name them, with a warning.
        unlabeled: after those of the section, the records of "unlabeled" too, as pre-training takes them.

    Raises:
        DatalistError: unreadable or malformed list, no such section, or absent files (how many, and the first); with
            "skip" only where no record is left.
    """
    datalist = read_datalist(path)
    if section not in datalist:
        present = ", ".join(name for name in ALL_SECTIONS if name in datalist)
        splits = "0.9 0.1 0" if section == "validation" else "0.8 0.1 0.1"
        raise DatalistError(
            f"{path}: must have the section {section!r}; found {present or 'none'}. Make a list that has it, by "
            f"`medgenesis datalist --images DIR --splits {splits} --out NEW.json`, or write it into this one; a task "
            "that reads one section alone takes another by `--section`."
        )
    records = datalist[section] + (datalist.get(UNLABELED, []) if unlabeled else [])
    gone = {name for name in _names(records) if not file_exists(name)}
    if gone:
        records = [with_channel_files(record) for record in records]
    names = _names(records)
    absent = [name for name in names if name in gone]
    present = [record for record in records if gone.isdisjoint(files_of(record))]
    if absent and (on_error != "skip" or not present):
        raise DatalistError(
            f"{path}: the files of section {section!r} must be there; found {len(absent)} of {len(names)} absent, the "
            f"first {', '.join(absent[:3])}. Mount the disk, or move them to their paths, which are relative to the "
            "list's folder."
        )
    if absent:
        left = len(records) - len(present)
        logger.warning("%s: %d records of %r skipped, files absent: %s", path, left, section, ", ".join(absent))
    return present


def _names(records: Sequence[dict]) -> list[str]:
    """Of all files, each once: the rows of a stack have one."""
    return list(dict.fromkeys(name for record in records for name in files_of(record)))


def datalist_header(path: str | Path) -> dict[str, Any]:
    """What a list says besides its records: `name`, `modality`, `labels`, `label_merge`, `class_names` and so on."""
    return {key: value for key, value in read_datalist(path).items() if key not in ALL_SECTIONS}


def read_datalist(path: str | Path) -> dict[str, Any]:
    """The whole list, file names absolute; the files need not exist, and are not looked for.

    Warnings say what in it nothing reads, and which sections share patients or scans.

    Raises:
        DatalistError: unreadable or malformed.
    """
    path = Path(path)
    try:
        datalist = read_json_object(path)
    except FileNotFoundError as error:
        raise DatalistError(
            f"{path}: must be a datalist; found no file, looked for from {Path.cwd()}. Check the path; `medgenesis "
            "datalist` makes one of your scans, `medgenesis phantom data` one to try."
        ) from error
    if not any(section in datalist for section in ALL_SECTIONS):
        by_nnunet = {"channel_names", "file_ending", "numTraining"} & set(datalist)
        remedy = f"`medgenesis datalist --images {path.parent}`" if by_nnunet else "`medgenesis datalist`"
        raise DatalistError(
            f"{path}: a datalist must be an object with one of {', '.join(ALL_SECTIONS)}; found none of them"
            f"{', as in the dataset.json of nnU-Net' if by_nnunet else ''}. Make one by {remedy}."
        )
    for section in ALL_SECTIONS:
        if section in datalist:
            datalist[section] = [
                check_record(record, path, section) for record in _as_list(datalist[section], path, section)
            ]
    warn_of_list(path, datalist)
    said = datalist.get("numTraining")
    if isinstance(said, int) and said != len(datalist.get("training", [])):
        logger.warning("%s: says numTraining %d, found %d records", path, said, len(datalist.get("training", [])))
    return datalist


def with_channels(datalist: Mapping[str, Any]) -> dict[str, Any]:
    """The list of `read_datalist` with the images that `load_datalist` finds: nnU-Net's channels of absent ones."""
    present = [section for section in ALL_SECTIONS if section in datalist]
    return {**datalist, **{section: [with_channel_files(one) for one in datalist[section]] for section in present}}


def write_datalist(datalist: Mapping[str, Any], path: str | Path) -> None:
    """Write a list, whole or not at all; files below its folder get relative names.

    Raises:
        OutputError: the file cannot be written.
    """
    path = Path(path)
    folder = path.parent.absolute()
    written = dict(datalist)
    for section in ALL_SECTIONS:
        if section in written:
            written[section] = [relative_record(record, folder) for record in written[section]]
    write_text(path, json.dumps(written, indent=1) + "\n")


def _as_list(records: Any, path: Path, section: str) -> list:
    if not isinstance(records, list):
        raise DatalistError(
            f"{path}: section {section!r} must be a list of records; found {type(records).__name__}. Make one by "
            "`medgenesis datalist`."
        )
    return records
