"""Tables as CSV files, written whole or not at all."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.storage.atomic import write_text

Row = Mapping[str, Any] | Sequence[Any]


def write_table(
    path: str | os.PathLike,
    rows: Iterable[Row],
    columns: Sequence[str] | None = None,
    *,
    decimals: str | Mapping[str, str] = ".6g",
) -> None:
    """Write rows to a CSV file: UTF-8, a heading, lines that end in a line feed.

    Args:
        path: the file; folders are made.
        rows: mappings by column, a cell that one lacks being empty, or sequences with a cell a column.
        columns: their names, in this order. None takes those of the mappings, in the order in which they first appear.
        decimals: format of floating-point cells, one for all or by column (the others then ".6g"). Other cells are
            written as `str` gives them, None as an empty cell.

    Raises:
        ValueError: a row with a column that is not among `columns`, or with more or fewer cells; two columns of one
            name; sequences without `columns`.
    """
    rows = list(rows)
    if columns is None:
        if not all(isinstance(row, Mapping) for row in rows):
            raise ValueError(f"columns: must be given for rows that are sequences; found none, for {path}. Name them.")
        columns = list(dict.fromkeys(name for row in rows for name in row))
    columns = list(columns)
    if len(set(columns)) < len(columns):
        raise ValueError(f"columns: must have a name each; found {columns}, for {path}. Rename one.")
    formats = [decimals if isinstance(decimals, str) else decimals.get(name, ".6g") for name in columns]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(_cell(*pair) for pair in zip(_cells(row, columns, path), formats, strict=True))
    write_text(path, text.getvalue())


def read_table(path: str | os.PathLike) -> list[dict[str, str]]:
    """The rows of a CSV file with a heading, as texts by column; a byte-order mark is passed over.

    Raises:
        ValueError: a row with more cells than the heading.
    """
    with Path(path).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    if surplus := [row for row in rows if None in row]:
        raise ValueError(
            f"{path}: a row must have no more cells than the heading; found {list(surplus[0].values())}. Write numbers "
            "with a point, not with a comma, or make the table again."
        )
    return rows


def _cells(row: Row, columns: Sequence[str], path: str | os.PathLike) -> list[Any]:
    if isinstance(row, Mapping):
        unknown = [name for name in row if name not in columns]
        if unknown:
            raise ValueError(f"rows: must have the columns {columns}; found {unknown} too, for {path}. Add or drop it.")
        return [row.get(name) for name in columns]
    if len(row) != len(columns):
        raise ValueError(f"rows: must have {len(columns)} cells; found {len(row)}, for {path}. Give one a column.")
    return list(row)


def _cell(value: Any, decimals: str) -> str:
    if value is None:
        return ""
    return format(value, decimals) if isinstance(value, (float, np.floating)) else str(value)
