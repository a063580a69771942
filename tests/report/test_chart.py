import re

import numpy as np
import pytest

from medgenesis.report import Report
from medgenesis.report.ticks import linear_ticks, log_ticks

BASELINE = 4  # a tick's text stands as far below its line, to look centred on it


def drawn(curves, **settings):
    return Report("t").curves(curves, "epoch", "loss", "c", **settings).render()


def polylines(text):
    lines = re.findall(r'<polyline points="([^"]+)"', text)
    return [np.array([pair.split(",") for pair in line.split()], float) for line in lines]


def axis(text, name):
    """What a reader does: the ticks' numbers and places give the axis, (value, pixel) each."""
    found = re.findall(rf'<text class="{name} tick" x="([\d.]+)" y="([\d.]+)">([^<]+)</text>', text)
    ticks = [(float(value), float(x) if name == "x" else float(y) - BASELINE) for x, y, value in found]
    return np.array(ticks).T


def read_off(text, name, pixels, log=False):
    """Values on axis x or y of drawn points, by the ticks alone."""
    values, places = axis(text, name)
    slope, at_0 = np.polyfit(places, np.log10(values) if log else values, 1)
    return 10 ** (slope * pixels + at_0) if log else slope * pixels + at_0


def collinear(points):
    (x0, y0), (x1, y1) = points[0], points[-1]
    distance = (points[:, 0] - x0) * (y1 - y0) - (points[:, 1] - y0) * (x1 - x0)
    return np.abs(distance).max() / np.hypot(x1 - x0, y1 - y0) < 0.02


def test_a_straight_line_stays_straight_and_evenly_spaced():
    x = np.arange(1, 42)
    (points,) = polylines(drawn({"a": (x, 3 - 0.05 * x)}))
    assert collinear(points)
    np.testing.assert_allclose(np.diff(points[:, 0]), np.diff(points[:, 0]).mean(), atol=0.011)
    assert (np.diff(points[:, 1]) > 0).all()  # a falling loss goes down the page


def test_a_power_is_straight_on_a_log_axis_and_only_there():
    x = np.arange(40)
    curves = {"a": (x, 5 * 0.8**x)}
    assert collinear(polylines(drawn(curves, log_y=True))[0])
    assert not collinear(polylines(drawn(curves))[0])


@pytest.mark.parametrize("log_y", [False, True])
def test_values_can_be_read_off_the_axes(log_y):
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(0, 60, 50)), 10 ** rng.uniform(-2.5, 0.5, 50)
    text = drawn({"a": (x, y)}, log_y=log_y)
    points = polylines(text)[0].T
    np.testing.assert_allclose(read_off(text, "x", points[0]), x, atol=0.01)
    np.testing.assert_allclose(
        read_off(text, "y", points[1], log_y), y, **({"rtol": 2e-3} if log_y else {"atol": 1e-3})
    )


def test_everything_lies_within_the_drawing():
    x = np.arange(50)
    text = drawn({"a": (x, np.sin(x) * 1e4), "b": (x + 7, -np.cos(x))})
    width, height = map(float, re.search(r'class="chart" viewBox="0 0 (\d+) (\d+)"', text).groups())
    for points in polylines(text):
        assert (points >= 0).all() and (points <= (width, height)).all()


def test_a_value_that_is_not_finite_leaves_a_gap():
    y = np.array([1.0, 2, 3, np.nan, 5, 6, np.inf, 8])
    text = drawn({"a": (np.arange(8), y)})
    assert [len(points) for points in polylines(text)] == [3, 2]
    assert text.count("<circle") == 6  # 8 stands alone between gaps, and is seen as a dot


def test_thirty_curves_all_differ_in_colour_or_dashes_as_their_legend_does():
    text = drawn({f"c{i}": ([0, 1], [i, i + 1]) for i in range(30)})
    looks = re.findall(r'<g class="(s\d)" stroke-dasharray="([^"]+)">', text)
    lines, legend = looks[:30], looks[30:]
    assert len(set(lines)) == 30 and lines == legend
    assert all(before[0] != after[0] and before[1] != after[1] for before, after in zip(lines, lines[1:], strict=False))
    assert all(f".{colour} {{ stroke:" in text for colour, _ in lines)


@pytest.mark.parametrize(
    ("x", "y", "log_y"), [([3], [0.5], False), ([3], [0.5], True), ([1, 2], [0, 0], False), ([1, 2], [7, 7], True)]
)
def test_one_point_or_a_constant_is_drawn(x, y, log_y):
    text = drawn({"a": (x, y)}, log_y=log_y)
    heights = np.array(re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', text), float)
    np.testing.assert_allclose(read_off(text, "y", heights, log_y), y, atol=0.02)


@pytest.mark.parametrize(
    ("curves", "log_y", "says"),
    [
        ({}, False, "at least one"),
        ({"a": ([], [])}, False, "at least one"),
        ({"a": ([1, 2], [np.nan, np.inf])}, False, "at least one"),
        ({"a": ([1, 2], [1, 2, 3])}, False, "one length"),
        ({"a": ([1, 2], [1, 0])}, True, "above 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(curves, log_y, says):
    with pytest.raises(ValueError, match=says):
        drawn(curves, log_y=log_y)


def test_ticks_are_round_and_enclose_the_range():
    rng = np.random.default_rng(1)
    for _ in range(500):
        low, high = np.sort(rng.normal(size=2)) * 10 ** rng.uniform(-6, 6)
        ticks = np.array(linear_ticks(low, high))
        step = ticks[1] - ticks[0]
        leading = step / 10 ** np.floor(np.log10(step) + 1e-6)
        assert min(abs(leading - np.array([1, 2, 5]))) < 1e-4 and 2 <= len(ticks) <= 9
        assert ticks[0] <= low + 1e-6 * step and ticks[-1] >= high - 1e-6 * step
        assert ticks[1] > low and ticks[-2] < high  # and no more than needed


def test_whole_ticks_never_split_an_epoch():
    assert linear_ticks(1, 3, whole=True) == [1, 2, 3]


def test_log_ticks_enclose_the_range():
    rng = np.random.default_rng(2)
    for _ in range(500):
        low, high = np.sort(10 ** rng.uniform(-12, 12, 2))
        ticks = np.array(log_ticks(low, high))
        assert ticks[0] <= low * (1 + 1e-6) and ticks[-1] >= high * (1 - 1e-6) and 2 <= len(ticks) <= 10
        assert ticks[1] > low and ticks[-2] < high
