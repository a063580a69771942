"""A report as one HTML file that needs nothing else: no network, no file beside it; a script only to show scans."""

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from medgenesis.report.chart import Curves, line_chart
from medgenesis.report.style import STYLE
from medgenesis.report.text import cell_text, escape
from medgenesis.report.viewer import SOURCES, viewer_parts, viewer_script
from medgenesis.storage.atomic import write_text

# Also "0.91 ± 0.02", "93 %", "0.91 [0.88, 0.93]", "1.2 s"; not "3D U-Net".
_NUMBER = re.compile(r"[+−-]?\d[\d.,]*(e[+-]?\d+)?(\s*(%|s|min|mm|HU|±.*|\[.*\]|\(.*\)))?")
_BLANK = ("", "–")


class Report:
    """Texts, tables, images and curves, added one after another, written as one HTML file.

    Every addition returns the report, so that they chain. All texts are escaped.

    Args:
        title: heading of the page.
        subtitle: a line below it.

    Example:
        >>> report = Report("Demo").heading("Dice").table(["organ", "Dice"], [["lungs", 0.97]], "12 subjects")
        >>> report.write("report.html")
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title, self.subtitle = title, subtitle
        self._parts: list[str] = []
        self._viewers = 0

    def heading(self, text: str) -> "Report":
        """Begin a section."""
        return self._add(f"<h2>{escape(text)}</h2>")

    def paragraph(self, text: str) -> "Report":
        """Add a paragraph."""
        return self._add(f"<p>{escape(text)}</p>")

    def code(self, text: str) -> "Report":
        """Add a command or a log, as it is typed."""
        return self._add(f'<pre tabindex="0"><code>{escape(text)}</code></pre>')

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[object]], caption: str) -> "Report":
        """Add a table, numbers to the right.

        Args:
            headers: one a column.
            rows: a cell is text, a number (fractions are written to four digits) or None (a dash). The first cell
                names its row.
            caption: what the table shows, and of how many.

        Raises:
            ValueError: a row has not as many cells as there are headers.
        """
        rows = [[cell_text(value) for value in row] for row in rows]
        for row in rows:
            if len(row) != len(headers):
                raise ValueError(f"rows: need {len(headers)} cells, as headers; found {row}. Fill or drop cells.")
        right = [
            bool(rows) and all(row[i] in _BLANK or _is_number(row[i]) for row in rows) for i in range(len(headers))
        ]
        head = "".join(f'<th scope="col"{_side(r)}>{escape(h)}</th>' for h, r in zip(headers, right, strict=True))
        body = "\n".join("<tr>" + "".join(_cells(row, right)) + "</tr>" for row in rows)
        return self._add(
            f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
            f"<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
        )

    def image(self, array: np.ndarray, caption: str, scale: float = 1, alt: str | None = None) -> "Report":
        """Add an image, embedded without loss and enlarged with hard pixels.

        Args:
            array: uint8 (H, W) grey or (H, W, 3) RGB.
            caption: what it shows.
            scale: screen pixels a pixel of the array; a narrow screen shows it smaller.
            alt: the image in words for who cannot see it; default: the caption.

        Raises:
            ValueError: the array is no uint8 image.
        """
        return self._add(_figure(array, caption, scale, alt))

    def gallery(self, images: Iterable[tuple[np.ndarray, str]], scale: float = 1) -> "Report":
        """Add images, (array, caption) each, side by side as far as the screen allows."""
        figures = "\n".join(_figure(array, caption, scale) for array, caption in images)
        return self._add(f'<div class="gallery">\n{figures}\n</div>')

    def viewer(
        self,
        volume: np.ndarray,
        affine: np.ndarray,
        labels: Mapping[str, np.ndarray],
        caption: str,
        names: Sequence[str] = (),
    ) -> "Report":
        """Add a scan with label maps to scroll through (NiiVue), 1.1 MB for the first one and the scans' own size.

        Args:
            volume: (X, Y, Z) in [0, 1], on any grid.
            affine: (4, 4) of its voxels, in RAS millimetres.
            labels: name -> (X, Y, Z) whole numbers on the same grid.
            caption: what it shows.
            names: of the labels' values, from 1 on.

        Raises:
            VolumeError: not 3D, or a label map on another grid.
        """
        self._viewers += 1
        return self._add(viewer_parts(self._viewers, volume, affine, labels, names, caption))

    def curves(self, curves: Curves, x_label: str, y_label: str, caption: str, log_y: bool = False) -> "Report":
        """Add a line chart.

        Args:
            curves: name -> (x, y), (N,) each; points that are not finite leave a gap.
            x_label, y_label: what the axes show, with the unit.
            caption: what the chart shows.
            log_y: whether the y axis is logarithmic.

        Raises:
            ValueError: no finite point at all, x and y of different lengths, or values not above 0 with `log_y`.
        """
        alt = f"{caption} Lines over {x_label}: {', '.join(curves)}."
        chart = line_chart(curves, x_label, y_label, alt, log_y)
        return self._add(f'<figure class="curves">{chart}<figcaption>{escape(caption)}</figcaption></figure>')

    def figure(self, chart: str, caption: str) -> "Report":
        """Add a chart of `medgenesis.report.plots`, which is HTML already.

        Args:
            chart: as `radar_chart` or `scatter_chart` give it.
            caption: what it shows.
        """
        return self._add(f'<figure class="curves">{chart}<figcaption>{escape(caption)}</figcaption></figure>')

    def copy(self) -> "Report":
        """The page as it is now; what is added to one is not added to the other."""
        other = Report(self.title, self.subtitle)
        other._parts, other._viewers = list(self._parts), self._viewers
        return other

    def render(self) -> str:
        """Return the page."""
        title, subtitle = escape(self.title), escape(self.subtitle)
        head = f"<h1>{title}</h1>" + (f"<p>{subtitle}</p>" if subtitle else "")
        # The policy has the browser enforce what the page promises: nothing is fetched; nothing runs but the viewer
        sources = (
            f"{SOURCES}; style-src 'unsafe-inline'" if self._viewers else "img-src data:; style-src 'unsafe-inline'"
        )
        return "\n".join(
            [
                '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; {sources}">',
                f"<title>{title}</title>\n<style>\n{STYLE}\n</style>\n</head>",
                f"<body>\n<main>\n<header>{head}</header>",
                *self._parts,
                "</main>",
                *([viewer_script()] if self._viewers else []),
                "</body>\n</html>\n",
            ]
        )

    def write(self, path: str | Path) -> Path:
        """Write the page to `path`, whole or not at all, and return the path."""
        write_text(path, self.render())
        return Path(path)

    def _add(self, part: str) -> "Report":
        self._parts.append(part)
        return self


def _figure(array: np.ndarray, caption: str, scale: float, alt: str | None = None) -> str:
    array = np.asarray(array)
    if array.dtype != np.uint8 or array.shape[2:] not in ((), (3,)) or array.ndim < 2 or array.size == 0:
        raise ValueError(
            f"array: needs uint8 (H, W) or (H, W, 3); found {array.dtype} {array.shape}. Multiply [0, 1] by 255."
        )
    png = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(png, format="PNG", optimize=True)
    height, width = (max(1, round(size * scale)) for size in array.shape[:2])
    return (
        f'<figure><img width="{width}" height="{height}" alt="{escape(caption if alt is None else alt)}" '
        f'src="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _is_number(cell: str) -> bool:
    return cell in ("nan", "inf", "-inf") or _NUMBER.fullmatch(cell) is not None


def _cells(row: list[str], right: list[bool]) -> Iterable[str]:
    """A column of numbers keeps its blanks at the right; a number among words goes there too."""
    for index, (cell, numbers) in enumerate(zip(row, right, strict=True)):
        tag, scope = ("td", "") if index else ("th", ' scope="row"')
        yield f"<{tag}{scope}{_side(numbers or _is_number(cell))}>{escape(cell)}</{tag}>"


def _side(right: bool) -> str:
    return ' class="n"' if right else ""
