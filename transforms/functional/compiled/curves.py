"""The Bezier map of intensities, compiled; see `functional.curves` for what it does and how exact it is."""

import numpy as np
from numba import njit


@njit
def _bernstein(t, second, third):
    """A cubic with control values 0, second, third, 1."""
    s = 1.0 - t
    return s * s * (t * (3.0 * second)) + t * t * (s * (3.0 * third) + t)


@njit(cache=True, nogil=True)
def _polyline(control_points, decreasing, segments):
    """Points x, rising, and y of the curve."""
    (x1, y1), (x2, y2) = control_points
    x, y = np.empty(segments + 1), np.empty(segments + 1)
    for i in range(segments + 1):
        t = i / segments
        x[i] = _bernstein(t, x1, x2)
        y[i] = _bernstein(1.0 - t, y1, y2) if decreasing else _bernstein(t, y1, y2)
    return x, y


@njit
def _between(at, x, y, i):
    """The line from point i to the next."""
    width = x[i + 1] - x[i]
    weight = min(max((at - x[i]) / width, 0.0), 1.0) if width > 0 else 0.0
    return y[i] + weight * (y[i + 1] - y[i])


@njit(cache=True, nogil=True)
def _tabulate(x, y, cells, table_error, steep_rise):
    """Values at the uniform nodes, the segment that each node lies in, and which cells the table is too coarse for."""
    table, segment = np.empty(cells + 1), np.empty(cells + 1, np.int64)
    i = 0
    for node in range(cells + 1):
        at = node / cells
        while i < len(x) - 2 and x[i + 1] < at:
            i += 1
        table[node], segment[node] = _between(at, x, y, i), i
    hard = np.abs(np.diff(table)) > steep_rise
    for k in range(len(x)):
        position = x[k] * cells
        cell = min(int(position), cells - 1)
        value = table[cell] + (position - cell) * (table[cell + 1] - table[cell])
        if abs(value - y[k]) > table_error:
            hard[cell] = True
    return table, segment, hard


@njit
def _position(voxel, low, scale, zero, top):
    """Where a voxel lies in the table, 0 .. top; all numbers of one type, since numba widens mixed ones."""
    position = (voxel - low) * scale
    position = position if position > zero else zero
    return position if position < top else top


@njit(cache=True, nogil=True)
def _look_up(voxels, mapped, table, rises, low, scale, zero, top):
    """Read every voxel from the table, between two nodes along the line."""
    for v in range(voxels.size):
        position = _position(voxels[v], low, scale, zero, top)
        cell = np.int32(position)
        node = np.uint32(cell)  # unsigned: without a check for a negative index, the loop is faster
        mapped[v] = table[node] + (position - type(position)(cell)) * rises[node]


@njit(cache=True, nogil=True)
def _look_up_hard(voxels, mapped, x, y, segment, hard, low, scale, zero, top):
    """Read the voxels that lie in hard cells from the polyline itself."""
    last = len(hard) - 1
    for v in range(voxels.size):
        position = _position(voxels[v], low, scale, zero, top)
        cell = min(np.int64(position), last)
        if hard[cell]:
            at, left, right = np.float64(position) / len(hard), segment[cell], segment[cell + 1]
            while left < right:  # find the last segment that starts at or before the voxel
                middle = (left + right + 1) // 2
                if x[middle] <= at:
                    left = middle
                else:
                    right = middle - 1
            mapped[v] = _between(at, x, y, left)


def map_intensity(voxels, mapped, control_points, decreasing, value_range, settings):
    """Map the intensities of a cube.

    Args:
        voxels: (V,), contiguous.
        mapped: (V,), written to.
        control_points: (2, 2) inner points, float64.
        decreasing: whether the map falls.
        value_range: the intensities that stand for 0 and 1.
        settings: segments of the polyline, cells of the table, error and rise that make a cell a hard one.
    """
    low, high = value_range
    segments, cells, table_error, steep_rise = settings
    x, y = _polyline(control_points, decreasing, segments)
    table, segment, hard = _tabulate(x, y, cells, table_error, steep_rise)
    # On (0, 1) single precision loses nothing: the position in a table of 2^n cells is the intensity times 2^n.
    exact = np.float32 if (low, high) == (0, 1) and voxels.dtype == np.float32 else np.float64
    place = exact(low), exact(cells / (high - low)), exact(0), exact(cells)
    scaled = (table * (high - low) + low).astype(exact)
    _look_up(voxels, mapped, scaled, np.append(np.diff(scaled), exact(0)), *place)
    if hard.any():
        _look_up_hard(voxels, mapped, x, y * (high - low) + low, segment, hard, *place)
