"""The Bezier map of intensities, compiled; see `functional.curves` for what it does and how exact it is."""

import functools

import numpy as np

from medgenesis.transforms.functional.backends.numba.jit import kernel, part
from medgenesis.transforms.functional.curves import CELLS, NEWTON_STEPS, STRAIGHT

_BLOCK = 2048  # voxels looked up at a time: their places stay in the nearest cache
_NODES = CELLS + 1


@functools.cache
def _powers():
    """What the distances of the nodes are made of: k / CELLS to the powers 4, 2 and 4/3; powers are slow."""
    root = np.arange(_NODES) / CELLS
    return np.stack([root**4, root**2, root ** (4 / 3)])


@part
def _bernstein(t, first, second, third, last):
    s = 1 - t
    return s * s * (s * first + t * (3 * second)) + t * t * (s * (3 * third) + t * last)


@kernel
def _tabulate(control_points, decreasing, low, high, powers, table):
    """`functional.curves._tabulate` for one curve: fill the table (2, nodes), return where its halves begin (2,)."""
    (x1, y1), (x2, y2) = control_points
    first, second, third = (1.0, y2, y1) if decreasing else (0.0, y1, y2)
    cubic, quadratic = 1 + 3 * (x1 - x2), 3 * (x2 - 2 * x1)
    inside = cubic > STRAIGHT
    inflection = min(max(quadratic / (cubic if inside else min(cubic, -STRAIGHT)) / -3, 0.0), 1.0)
    begins = np.empty(2)
    for half in range(2):
        begin = inflection if inside else float(half)
        away = 2.0 * half - 1 if inside else 1.0 - 2 * half
        slope = max(3 * x1 + begin * (2 * quadratic + begin * (3 * cubic)), 1e-300)
        bend = away * (quadratic + 3 * cubic * begin)
        bend = max(bend, 0.0) if inside else bend
        by_slope, by_bend, by_cube = 1 / slope, np.sqrt(1.5 / max(bend, 1e-300)), max(cubic, 1e-300) ** (-1 / 3)
        most, far = (1.0, 1.0) if inside else (abs(inflection - begin), 0.51)
        for k in range(_NODES):  # this loop is vectorised, having a fixed number of steps
            distance = min(powers[0, k], far)
            tau = min(min(powers[0, k] * by_slope, powers[1, k] * by_bend), min(powers[2, k] * by_cube, most))
            for _ in range(NEWTON_STEPS):
                steep = cubic * tau
                tau = (distance + (bend + 2 * steep) * tau * tau) / (slope + (2 * bend + 3 * steep) * tau)
            table[half, k] = _bernstein(begin + away * tau, first, second, third, 1 - first) * (high - low) + low
        begins[half] = _bernstein(begin, 0.0, x1, x2, 1.0) * (high - low) + low
    return begins


@kernel
def _look_up(voxels, mapped, begins, table, low, high, scale):
    """Read every voxel from the half that begins nearer to it; all numbers but `begins` are of the voxels' type."""
    real, upper_half = type(low), type(low)(_NODES)
    near_low, near_high = real(begins[0]), real(begins[1])
    rest_low, rest_high = real(begins[0] - near_low), real(begins[1] - near_high)
    values, rises = table.reshape(-1), np.zeros(2 * _NODES, table.dtype)
    for k in range(2 * _NODES - 1):
        rises[k] = values[k + 1] - values[k]
    rises[_NODES - 1] = real(0)  # the last node of a half is the end of the range
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
            places[k] = place - real(cell)
            nodes[k] = cell + np.int32(upper_half if upper else low - low)
        for k in range(count):
            value = values[nodes[k]] + places[k] * rises[nodes[k]]
            value = value if value > low else low
            mapped[start + k] = value if value < high else high


def map_intensity(voxels, mapped, control_points, decreasing, value_range):
    """Map the intensities of a cube.

    Args:
        voxels: (V,), contiguous.
        mapped: (V,), written to.
        control_points: (2, 2) inner points, float64.
        decreasing: whether the map falls.
        value_range: the intensities that stand for 0 and 1, exact in the voxels' type.
    """
    (low, high), kind = value_range, voxels.dtype.type
    table = np.empty((2, _NODES), kind)
    begins = _tabulate(control_points, decreasing, low, high, _powers(), table)
    _look_up(voxels, mapped, begins, table, kind(low), kind(high), kind(CELLS * (high - low) ** -0.25))
