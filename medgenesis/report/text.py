"""Any text, made safe for a page; a table for a terminal."""

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number

import numpy as np


def escape(text: object) -> str:
    """Return `text` for HTML, in elements and in attributes alike."""
    # A file name that is not UTF-8 reaches Python as lone surrogates, which no file can be written with.
    return html.escape(str(text).encode("utf-8", "replace").decode())


def cell_text(value: object) -> str:
    """A cell of a table: a fraction to four digits, a dash for None."""
    if value is None:
        return "–"
    # Not bool, which Python counts among the numbers; whole numbers are written in full.
    if isinstance(value, Number) and not isinstance(value, (bool, np.bool_, int, np.integer)):
        return f"{value:.4g}"
    return str(value)


def p_text(p: float) -> str:
    """A p to three digits: below those "< 0.001", and a dash where it is no number."""
    return "–" if p != p else f"{p:.3f}" if p >= 0.0005 else "< 0.001"


def interval_text(value: float, low: float | None, high: float | None, form: str = ".3f") -> str:
    """`value [low, high]`, each in this format; the value alone where an end is None or no finite number."""
    known = all(end is not None and math.isfinite(end) for end in (low, high))
    return f"{value:{form}} [{low:{form}}, {high:{form}}]" if known else f"{value:{form}}"


def figure_text(figure: Mapping[str, float] | None) -> str | None:
    """`value` [`low`, `high`] to three digits, the ends where both are numbers; None where there is no figure."""
    if figure is None:
        return None
    return interval_text(figure["value"], figure.get("low"), figure.get("high"))


def text_table(headers: Sequence[str], rows: Iterable[Sequence[object]], width: int = 120) -> str:
    """A table in columns for a terminal; cells as in `Report.table`, the last column wrapped where it is too wide."""
    cells = [list(headers), *([" ".join(cell_text(value).split()) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    widths[-1] = min(widths[-1], max(width - sum(widths[:-1]) - 2 * len(widths), 40))
    lines = []
    for row in cells:
        first, *more = textwrap.wrap(row[-1], widths[-1], break_on_hyphens=False) or [""]
        lines.append(
            "  ".join(cell.ljust(side) for cell, side in zip([*row[:-1], first], widths, strict=True)).rstrip()
        )
        lines += [" " * (sum(widths[:-1]) + 2 * (len(widths) - 1)) + text for text in more]
        if row is cells[0]:
            lines.append("  ".join("-" * side for side in widths))
    return "\n".join(lines)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, whose first row is its heading."""
    heading, *lines = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([heading, "|" + "---|" * len(rows[0]), *lines])
