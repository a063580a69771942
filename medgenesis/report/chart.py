"""A line chart as inline SVG: no library, no script, colours from the page's style sheet."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np

from medgenesis.report.text import escape
from medgenesis.report.ticks import linear_ticks, log_ticks, tick_text

Curves = dict[str, tuple[np.ndarray, np.ndarray]]

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 508, 30, 250  # of the plotting area; y grows downwards in SVG
COLOURS = 6  # classes s0..s5 of the style sheet
DASHES = ("none", "7 4", "2 3", "9 3 2 3", "14 5")  # their number and COLOURS share no divisor: 30 pairs differ
DOTTED_UP_TO = 30  # points: a short curve shows where they lie


def line_chart(curves: Curves, x_label: str, y_label: str, alt: str, log_y: bool = False) -> str:
    """Draw curves as one SVG element and a legend.

    Args:
        curves: name -> (x, y), (N,) each; points that are not finite leave a gap.
        x_label, y_label: what the axes show, with the unit.
        alt: the chart in words.
        log_y: whether the y axis is logarithmic.

    Raises:
        ValueError: no finite point at all, x and y of different lengths, or values not above 0 with `log_y`.
    """
    points = {name: _points(name, x, y, log_y) for name, (x, y) in curves.items()}
    finite = np.concatenate([p[np.isfinite(p).all(1)] for p in points.values()] or [np.empty((0, 2))])
    if not len(finite):
        raise ValueError(f"curves: need at least one finite point; found none in {list(curves)}. Leave the chart out.")
    x_range, y_range = _range(finite[:, 0]), _range(finite[:, 1], log_y)
    whole = bool((finite[:, 0] % 1 == 0).all())
    x_ticks = [x for x in linear_ticks(*x_range, whole=whole) if x_range[0] <= x <= x_range[1]]
    y_ticks = log_ticks(*y_range) if log_y else linear_ticks(*y_range)
    across = _scale(x_range, (LEFT, RIGHT))
    up = _scale((y_ticks[0], y_ticks[-1]), (BOTTOM, TOP), log_y)
    lines = [_curve(p, across, up, index) for index, p in enumerate(points.values())]
    axes = _axes(x_ticks, y_ticks, across, up, escape(x_label), escape(y_label))
    chart = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">'
    return "\n".join([chart, *axes, *lines, "</svg>", legend(list(points))])


def _points(name: str, x: Sequence[float], y: Sequence[float], log_y: bool) -> np.ndarray:
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"curves: each needs x and y of one length; found {x.shape} and {y.shape} in {name!r}. Pair them."
        )
    if log_y and (y <= 0).any():
        raise ValueError(f"curves: log_y needs values above 0; found {y[y <= 0][0]:g} in {name!r}. Use log_y=False.")
    return np.stack([x, y], axis=1)


def _range(values: np.ndarray, log: bool = False) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return low, high
    if log:
        return low / 2, high * 2
    room = abs(low) * 0.1 or 1.0  # a constant, or one point: give it some height
    return low - room, high + room


def _scale(
    values: tuple[float, float], pixels: tuple[float, float], log: bool = False
) -> Callable[[np.ndarray | float], np.ndarray]:
    convert = np.log10 if log else np.asarray
    low, high = convert(values[0]), convert(values[1])
    return lambda value: pixels[0] + (convert(value) - low) / (high - low) * (pixels[1] - pixels[0])


def stroke(index: int) -> str:
    """Colour and dashes of the line of that number, as attributes."""
    return f'class="s{index % COLOURS}" stroke-dasharray="{DASHES[index % len(DASHES)]}"'


def _curve(points: np.ndarray, across: Callable, up: Callable, index: int) -> str:
    parts = [f"<g {stroke(index)}>"]
    for finite, run in groupby(points, key=lambda point: bool(np.isfinite(point).all())):
        run = [(float(across(x)), float(up(y))) for x, y in run] if finite else []
        if len(run) > 1:
            parts.append('<polyline points="' + " ".join(f"{x:.2f},{y:.2f}" for x, y in run) + '"/>')
        if len(run) == 1 or len(points) <= DOTTED_UP_TO:
            parts += [f'<circle cx="{x:.2f}" cy="{y:.2f}" r="2.5"/>' for x, y in run]
    return "".join([*parts, "</g>"])


def _axes(
    x_ticks: list[float], y_ticks: list[float], across: Callable, up: Callable, x_label: str, y_label: str
) -> Iterator[str]:
    for tick in y_ticks:
        y = float(up(tick))
        yield f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.2f}" y2="{y:.2f}"/>'
        yield f'<text class="y tick" x="{LEFT - 8}" y="{y + 4:.2f}">{tick_text(tick)}</text>'
    for tick in x_ticks:
        x = float(across(tick))
        yield f'<line class="axis" x1="{x:.2f}" x2="{x:.2f}" y1="{BOTTOM}" y2="{BOTTOM + 5}"/>'
        yield f'<text class="x tick" x="{x:.2f}" y="{BOTTOM + 19}">{tick_text(tick)}</text>'
    yield f'<path class="axis" d="M{LEFT},{TOP} V{BOTTOM} H{RIGHT}"/>'
    yield f'<text class="x" x="{(LEFT + RIGHT) / 2:g}" y="{HEIGHT - 8}">{x_label}</text>'
    yield f'<text x="4" y="14">{y_label}</text>'


def legend(names: list[str]) -> str:
    """Beside the drawing, not in it, so that many or long names wrap."""
    items = [
        f'<li><svg class="swatch" viewBox="0 0 34 10" aria-hidden="true"><g {stroke(index)}>'
        f'<line x1="1" x2="33" y1="5" y2="5"/></g></svg>{escape(name)}</li>'
        for index, name in enumerate(names)
    ]
    return '<ul class="legend">' + "".join(items) + "</ul>"
