"""The tables that data sets come with: rows with every cell that is asked for, or an error that names the row."""

import math
from collections.abc import Sequence
from pathlib import Path

from medgenesis.data.tables import table_rows
from medgenesis.errors import DatalistError


def rows_of_table(path: Path, *columns: str, heading: bool = True) -> list[dict[str, str]]:
    """The rows of a CSV file that has these columns, each with a cell for each of them; blank lines are passed over.

    Args:
        path: the file.
        columns: their names; capitals, and blanks around a name, are no matter.
        heading: the first row has the names; False: it has none, and the columns are the first ones, in this order.

    Raises:
        DatalistError: no such file, or what `medgenesis.data.tables.table_rows` raises.
    """
    if not path.is_file():
        raise DatalistError(f"{path}: must be the data set's table; found no file. Give the folder that holds it.")
    return [row for _, row in table_rows(path, columns, "Give the data set's own table.", heading=heading)]


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
        raise DatalistError(
            f"{table}, row {number}: {column} must be a number; found {text!r}. Correct the table; numbers have a "
            "point, not a comma."
        )
    return value
