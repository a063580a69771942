"""The charts of the report as image files: the same lines and colours, with the legend inside."""

import re
from pathlib import Path

from medgenesis.report.chart import COLOURS, Curves, line_chart
from medgenesis.report.style import STYLE
from medgenesis.report.text import escape
from medgenesis.storage import write_text

_SIZE = re.compile(r'viewBox="0 0 (\d+) (\d+)"')
_STROKE = re.compile(r'aria-hidden="true"><g (class="s\d" stroke-dasharray="[^"]*")>')
_LINE, _COLUMNS = 18, 2  # pixels a line of the legend; its columns


def write_chart(path: Path, curves: Curves, x_label: str, y_label: str, alt: str) -> None:
    """Write a line chart as an SVG file that needs nothing beside it, on white.

    Args:
        path: of the file.
        curves, x_label, y_label, alt: see `medgenesis.report.chart.line_chart`.
    """
    chart, _, legend = line_chart(curves, x_label, y_label, alt).partition("</svg>")
    width, height = map(int, _SIZE.search(chart).groups())
    strokes = _STROKE.findall(legend)
    rows = -(-len(strokes) // _COLUMNS)
    whole = height + rows * _LINE + 8
    size = f'xmlns="http://www.w3.org/2000/svg" width="{width}" height="{whole}" viewBox="0 0 {width} {whole}"'
    chart = chart.replace(f'viewBox="0 0 {width} {height}"', size, 1)
    first = chart.index(">") + 1
    items = [
        _item(name, stroke, 10 + index % _COLUMNS * (width // _COLUMNS), height + 12 + index // _COLUMNS * _LINE)
        for index, (name, stroke) in enumerate(zip(curves, strokes, strict=True))
    ]
    back = f"<style>{_style()}</style>\n<rect width='{width}' height='{whole}' fill='#ffffff'/>"
    write_text(path, "\n".join([chart[:first], back, chart[first:], *items, "</svg>"]) + "\n")


def _item(name: str, stroke: str, x: int, y: int) -> str:
    line = f'<g class="swatch"><g {stroke}><line x1="{x}" x2="{x + 32}" y1="{y}" y2="{y}"/></g></g>'
    return f'{line}<text x="{x + 40}" y="{y + 4}">{escape(name)}</text>'


def _style() -> str:
    """The rules of the chart, with the report's colours of light pages."""
    colours = dict(re.findall(r"--(\w+): (#\w+)", STYLE.partition("@media")[0]))
    lines = " ".join(f".s{index} {{ stroke: {colours[f's{index}']}; }}" for index in range(COLOURS))
    soft, faint = colours["soft"], colours["line"]
    return (
        f"svg {{ font: 12px sans-serif; }} text {{ fill: {soft}; }} .x {{ text-anchor: middle; }} "
        f".y {{ text-anchor: end; }} .grid {{ stroke: {faint}; }} .axis {{ stroke: {soft}; fill: none; }} "
        "polyline, .swatch line { fill: none; stroke-width: 2; } "
        "circle { fill: #ffffff; stroke-width: 1.5; stroke-dasharray: none; } "
        f"{lines}"
    )
