"""The Bezier map of intensities, compiled; see `functional.curves` for what it does and how exact it is."""

import functools

import numpy as np
from numba import njit

from medgenesis.transforms.functional.compiled.jit import kernel

_BLOCK = 2048  # voxels looked up at a time: their places stay in the nearest cache


@functools.lru_cache(maxsize=4)
def _powers(cells):
    """What the distances of the nodes are made of: k / cells to the powers 4, 2 and 4/3; powers are slow."""
    root = np.arange(cells + 1) / cells
    return root**4, root**2, root ** (4 / 3)


@kernel
def _tabulate(control_points, decreasing, powers, steps, straight):
    """`functional.curves._tabulate` for one curve: where the halves begin in x (2,), and y (2, cells + 1)."""
    (x1, y1), (x2, y2) = control_points
    first, second, third = (1.0, y2, y1) if decreasing else (0.0, y1, y2)
    cubic, quadratic = 1 + 3 * (x1 - x2), 3 * (x2 - 2 * x1)
    inside = cubic > straight
    inflection = min(max(quadratic / (cubic if inside else min(cubic, -straight)) / -3, 0.0), 1.0)
    begins, y = np.empty(2), np.empty((2, len(powers[0])))
    for half in range(2):
        begin = inflection if inside else float(half)
        away = 2.0 * half - 1 if inside else 1.0 - 2 * half
        slope = max(3 * x1 + begin * (2 * quadratic + begin * (3 * cubic)), 1e-300)
        bend = away * (quadratic + 3 * cubic * begin)
        bend = max(bend, 0.0) if inside else bend
        starts = 1 / slope, np.sqrt(1.5 / max(bend, 1e-300)), max(cubic, 1e-300) ** (-1 / 3)
        most, far = (1.0, 1.0) if inside else (abs(inflection - begin), 0.51)
        for k in range(y.shape[1]):
            distance = min(powers[0][k], far)
            tau = min(min(powers[0][k] * starts[0], powers[1][k] * starts[1]), min(powers[2][k] * starts[2], most))
            for _ in range(steps):
                steep = cubic * tau
                tau = (distance + (bend + 2 * steep) * tau * tau) / (slope + (2 * bend + 3 * steep) * tau)
            t = begin + away * tau
            y[half, k] = _bernstein(t, first, second, third, 1 - first)
        begins[half] = _bernstein(begin, 0.0, x1, x2, 1.0)
    return begins, y


@njit
def _bernstein(t, first, second, third, last):
    s = 1 - t
    return s * s * (s * first + t * (3 * second)) + t * t * (s * (3 * third) + t * last)


@kernel
def _look_up(voxels, mapped, near, rest, table, rises, low, high, scale):
    """Read every voxel from the half that begins nearer to it; all numbers are of the voxels' type."""
    upper_half = type(low)(len(table) // 2)
    near_low, near_high, rest_low, rest_high = near[0], near[1], rest[0], rest[1]
    places, nodes = np.empty(_BLOCK, voxels.dtype), np.empty(_BLOCK, np.uint32)
    for start in range(0, voxels.size, _BLOCK):
        count = min(_BLOCK, voxels.size - start)
        for k in range(count):  # this loop is vectorised, the next cannot be
            voxel = voxels[start + k]
            voxel = voxel if voxel > low else low
            voxel = voxel if voxel < high else high
            above = (voxel - near_low) - rest_low
            below = (near_high - voxel) + rest_high
            upper = above > below
            place = np.sqrt(np.sqrt(abs(below if upper else above))) * scale
            cell = np.int32(place)
            places[k] = place - type(low)(cell)
            nodes[k] = cell + np.int32(upper_half if upper else low - low)
        for k in range(count):
            value = table[nodes[k]] + places[k] * rises[nodes[k]]
            value = value if value > low else low
            mapped[start + k] = value if value < high else high


def map_intensity(voxels, mapped, control_points, decreasing, value_range, settings):
    """Map the intensities of a cube.

    Args:
        voxels: (V,), contiguous.
        mapped: (V,), written to.
        control_points: (2, 2) inner points, float64.
        decreasing: whether the map falls.
        value_range: the intensities that stand for 0 and 1, exact in the voxels' type.
        settings: cells of each half of the table, Newton steps, and the cubic term that does not show.
    """
    (low, high), kind = value_range, voxels.dtype.type
    cells, steps, straight = settings
    begins, y = _tabulate(control_points, decreasing, _powers(cells), steps, straight)
    begins, y = begins * (high - low) + low, y * (high - low) + low
    near = begins.astype(kind)
    table = y.astype(kind)
    rises = np.zeros_like(table)
    np.subtract(table[:, 1:], table[:, :-1], out=rises[:, :-1])
    scale = kind(cells * (high - low) ** -0.25)
    rest = (begins - near).astype(kind)
    _look_up(voxels, mapped, near, rest, table.ravel(), rises.ravel(), kind(low), kind(high), scale)
