"""Radar and scatter plots as inline SVG, in the colours of the page's style sheet."""

import math
from collections.abc import Mapping

import numpy as np

from medgenesis.report.chart import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, legend, stroke
from medgenesis.report.text import escape
from medgenesis.report.ticks import linear_ticks, tick_text

_RADIUS, _CENTRE = 110, (260.0, 150.0)


def radar_chart(values: Mapping[str, Mapping[str, float]], alt: str, low: float, high: float) -> str:
    """Draw one closed line a name over axes that begin in the middle.

    Args:
        values: name -> axis -> value; an axis that a name lacks, or where its value is not finite, leaves its line open
            there; a name or an axis without any finite value is left out.
        alt: the chart in words.
        low, high: what the middle and the rim mean, on all axes.

    Raises:
        ValueError: fewer than three axes with a finite value, or `low` not below `high`.
    """
    named = dict.fromkeys(axis for one in values.values() for axis in one)
    finite = {name: {axis: one for axis, one in own.items() if math.isfinite(one)} for name, own in values.items()}
    values = {name: own for name, own in finite.items() if own}
    axes = [axis for axis in named if any(axis in one for one in values.values())]
    if len(axes) < 3 or not low < high:
        raise ValueError(
            f"values: must have three axes or more, and low below high; found {len(axes)}, {low} and {high}. Make a "
            "table of them."
        )
    angles = {axis: 2 * math.pi * i / len(axes) - math.pi / 2 for i, axis in enumerate(axes)}

    def at(axis: str, share: float) -> str:
        x, y = (_CENTRE[i] + _RADIUS * share * f(angles[axis]) for i, f in enumerate((math.cos, math.sin)))
        return f"{x:.1f},{y:.1f}"

    parts = []
    for share in (0.25, 0.5, 0.75, 1.0):
        ring = " ".join(at(axis, share) for axis in axes)
        parts.append(f'<polygon class="grid" fill="none" points="{ring}"/>')
    for axis in axes:
        x, y = at(axis, 1.12).split(",")
        side = "start" if float(x) > _CENTRE[0] + 5 else "end" if float(x) < _CENTRE[0] - 5 else "middle"
        parts.append(f'<text x="{x}" y="{y}" style="text-anchor:{side}">{escape(axis)}</text>')
    for index, one in enumerate(values.values()):
        shares = {axis: min(1.0, max(0.0, (value - low) / (high - low))) for axis, value in one.items()}
        closed = [axis for axis in axes if axis in shares]
        line = " ".join(at(axis, shares[axis]) for axis in [*closed, *closed[: len(closed) == len(axes)]])
        parts.append(f'<g {stroke(index)}><polyline points="{line}"/></g>')
    chart = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">'
    return "\n".join([chart, *parts, "</svg>", legend(list(values))])


def scatter_chart(points: Mapping[str, tuple[float, float]], x_label: str, y_label: str, alt: str) -> str:
    """Draw named points, each labelled.

    Args:
        points: name -> (x, y).
        x_label, y_label: what the axes show, with the unit.
        alt: the chart in words.

    Raises:
        ValueError: no points, or some that are not finite.
    """
    table = np.array(list(points.values()), dtype=np.float64).reshape(-1, 2)
    if not len(table) or not np.isfinite(table).all():
        raise ValueError(f"points: must be finite, at least one; found {table.tolist()[:3]}. Leave out the others.")
    ticks = [linear_ticks(*_with_room(table[:, i])) for i in (0, 1)]
    ends = [(one[0], one[-1]) for one in ticks]

    def across(x: float) -> float:
        return LEFT + (x - ends[0][0]) / (ends[0][1] - ends[0][0]) * (RIGHT - LEFT)

    def up(y: float) -> float:
        return BOTTOM - (y - ends[1][0]) / (ends[1][1] - ends[1][0]) * (BOTTOM - TOP)

    parts = []
    for tick in ticks[1]:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        parts.append(f'<text class="y tick" x="{LEFT - 8}" y="{up(tick) + 4:.1f}">{tick_text(tick)}</text>')
    for tick in ticks[0]:
        parts.append(f'<text class="x tick" x="{across(tick):.1f}" y="{BOTTOM + 19}">{tick_text(tick)}</text>')
    parts.append(f'<path class="axis" d="M{LEFT},{TOP} V{BOTTOM} H{RIGHT}"/>')
    parts.append(f'<text class="x" x="{(LEFT + RIGHT) / 2:g}" y="{HEIGHT - 8}">{escape(x_label)}</text>')
    parts.append(f'<text x="4" y="14">{escape(y_label)}</text>')
    for index, (name, (x, y)) in enumerate(points.items()):
        place = f'cx="{across(x):.1f}" cy="{up(y):.1f}"'
        parts.append(
            f'<g class="s{index % COLOURS}"><circle {place} r="3.5"><title>{escape(name)}</title></circle></g>'
        )
        side = "end" if across(x) > (LEFT + RIGHT) / 2 else "start"
        shift = -6 if side == "end" else 6
        parts.append(
            f'<text x="{across(x) + shift:.1f}" y="{up(y) + 4:.1f}" style="text-anchor:{side}">{escape(name)}</text>'
        )
    chart = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">'
    return "\n".join([chart, *parts, "</svg>"])


def _with_room(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 0.1 * abs(low) or 1.0
    return low - room, high + room
