"""Tables that people give: rows by column, none of them cut off, or an error that can be acted on in a spreadsheet."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from medgenesis.errors import DatalistError

SAVE_ANEW = (
    "Save it as CSV UTF-8, with commas between the cells and points in the numbers (Excel takes both from the region "
    "settings of the system)."
)


def table_rows(
    path: Path, columns: Sequence[str], remedy: str, *, optional: Sequence[str] = (), heading: bool = True
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file that has these columns, each with a cell for each of them; blank lines are passed over.

    Args:
        path: the file.
        columns: their names; in the heading capitals, and blanks around a name, are no matter.
        remedy: what to do about a column that is absent.
        optional: further columns that the heading may have; a row may end before them.
        heading: the first row has the names; False: it has none, and the columns are the first ones, in this order.

    Yields:
        The line on which a row ends, and its cells by column; of other columns too, by the heading's own words.

    Raises:
        DatalistError: one that cannot be read, no such column or two of one name, or a row that ends before it or has
            more cells than the heading (trailing empty ones are no matter).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            named = _columns(next(reader, []), path, columns, optional, remedy) if heading else list(columns)
            for cells in filter(None, reader):
                yield reader.line_num, _row(cells, named, columns, f"{path}, row {reader.line_num}", heading)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatalistError(f"{path}: cannot be read as a table in UTF-8 ({error}). {SAVE_ANEW}") from error


def _columns(
    cells: Sequence[str], path: Path, columns: Sequence[str], optional: Sequence[str], remedy: str
) -> list[str]:
    """The name of each column: those that are asked for as they are asked for."""
    known = {name.casefold(): name for name in (*columns, *optional)}
    named = [known.get(cell.strip().casefold(), cell.strip()) for cell in cells]
    must = f"{path}: must have the columns {', '.join(columns)}"
    if absent := [name for name in columns if name not in named]:
        first = ",".join(cells)
        if first.lower().startswith("sep=") or any(sign in first for sign in ";\t"):
            raise DatalistError(f"{must}, with commas between; found the first line {first[:80]!r}. {SAVE_ANEW}")
        raise DatalistError(f"{must}; found no {', '.join(absent)}. {remedy}")
    if twice := [name for name in known.values() if named.count(name) > 1]:
        raise DatalistError(f"{must} once each; found {twice[0]!r} twice. Rename or remove one of the two.")
    return named


def _row(
    cells: Sequence[str], named: Sequence[str], columns: Sequence[str], where: str, heading: bool
) -> dict[str, str]:
    """The cells by column."""
    if heading and any(cell.strip() for cell in cells[len(named) :]):
        raise DatalistError(
            f"{where}: must have no more cells than the heading, {len(named)}; found {len(cells)}: {','.join(cells)}. "
            "Write numbers with a point, not with a comma, and texts with a comma in double quotes."
        )
    row = dict(zip(named, cells, strict=False))
    if short := [name for name in columns if name not in row]:
        raise DatalistError(
            f"{where}: must have a cell for each of {', '.join(columns)}; found none for {', '.join(short)}. Correct "
            "the table."
        )
    return row
