"""The folder `MEDGENESIS_DATA`, below which the small data sets of tests and studies lie, one folder each."""

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.splits import SECTIONS, split_patients
from medgenesis.errors import DatalistError

SPLITS = (0.6, 0.2, 0.2)


def data_folder() -> Path:
    """The folder that the variable names, else `../shared/data`."""
    return Path(os.environ.get("MEDGENESIS_DATA", "../shared/data"))


def rows_of_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file that has these columns, each with a cell for each of them.

    Raises:
        DatalistError: no such file, one that cannot be read, no such column, or a row that ends before it.
    """
    if not path.is_file():
        raise DatalistError(f"{path}: must be the data set's table; found no file. Give the folder that holds it.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            heading, rows = reader.fieldnames or (), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatalistError(f"{path}: cannot be read as a table ({error}). Give the data set's own table.") from error
    absent = [name for name in columns if name not in heading]
    if absent:
        raise DatalistError(
            f"{path}: must have the columns {', '.join(columns)}; found no {', '.join(absent)}. Give the data "
            "set's own table."
        )
    for number, row in enumerate(rows, 2):
        short = [name for name in columns if row[name] is None]
        if short:
            raise DatalistError(
                f"{path}, row {number}: must have a cell for each of {', '.join(columns)}; found none for "
                f"{', '.join(short)}. Correct the table."
            )
    return rows


def class_of_row(text: str, classes: Sequence[str], table: Path, number: int) -> int:
    """The place of a text among the classes.

    Args:
        text: of a cell.
        classes: that there are.
        table: for the message.
        number: of the row, the heading being the first.

    Raises:
        DatalistError: another text.
    """
    if text.strip() not in classes:
        raise DatalistError(
            f"{table}, row {number}: its class must be one of {', '.join(classes)}; found {text.strip()!r}. "
            "Correct the table."
        )
    return classes.index(text.strip())


def number_of_row(text: str, column: str, table: Path, number: int) -> float:
    """The number in a cell.

    Args:
        text: of the cell.
        column: of the cell, for the message.
        table: for the message.
        number: of the row, the heading being the first.

    Raises:
        DatalistError: another text, or a number that is not finite.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DatalistError(f"{table}, row {number}: {column} must be a number; found {text!r}. Correct the table.")
    return value


def checked_files(records: list[dict], root: Path) -> list[dict]:
    """The records, whose images and label maps must be there.

    Raises:
        DatalistError: how many are absent, and the first five; or there is none at all.
    """
    files = [name for record in records for name in (record["image"], record.get("label")) if name]
    absent = [name for name in files if not Path(name).exists()]
    if absent or not records:
        names = ", ".join(Path(name).name for name in absent[:5])
        raise DatalistError(
            f"{root}: the files of the data set must be there; found {len(absent)} of {len(files)} absent"
            f"{names and ', the first '}{names}. Unpack the whole data set."
        )
    return records


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
