"""Signed distances (mm, negative inside) of the few shapes that the thorax is made of."""

from collections.abc import Sequence

import numpy as np

from medgenesis.datasets.phantom.space import Space

FAR_MM = 60.0
"""Stands for any larger distance: distances are exact only near their surfaces."""

Point = Sequence[float]


def smooth_union(a: np.ndarray, b: np.ndarray, fillet_mm: float) -> np.ndarray:
    """Unite two distances with a fillet (polynomial smooth minimum)."""
    fillet = np.maximum(np.float32(fillet_mm) - np.abs(a - b), 0)
    return np.minimum(a, b) - fillet * fillet * np.float32(0.25 / fillet_mm)


def ellipsoid(space: Space, centre: Point, radii: Point, long_axis: Point | None = None) -> np.ndarray:
    """Distance to an ellipsoid, right to first order.

    Args:
        space: where to evaluate.
        centre: x, y, z in mm.
        radii: semi-axes in mm; the first along `long_axis` where that is given, else along x.
        long_axis: direction of the first semi-axis; the second then lies in the horizontal plane.
    """
    offset = [space.x - np.float32(centre[0]), space.y - np.float32(centre[1]), space.z - np.float32(centre[2])]
    if long_axis is not None:
        u = np.asarray(long_axis, dtype=np.float64) / np.linalg.norm(long_axis)
        v = np.cross([0, 0, 1], u) / np.hypot(u[0], u[1])
        frame = np.stack([u, v, np.cross(u, v)]).astype(np.float32)
        offset = [offset[0] * e[0] + offset[1] * e[1] + offset[2] * e[2] for e in frame]
    squares = [(o * np.float32(1 / r)) ** 2 for o, r in zip(offset, radii, strict=True)]
    k0 = np.sqrt(squares[0] + squares[1] + squares[2])
    k1 = np.sqrt(sum(q * np.float32(1 / r**2) for q, r in zip(squares, radii, strict=True)))
    return k0 * (k0 - 1) / np.maximum(k1, np.float32(1e-4))


def segment(space: Space, start: Point, end: Point, radii: Sequence[float]) -> np.ndarray:
    """Distance to a straight tube whose radius goes linearly from `radii[0]` at `start` to `radii[1]` at `end` (mm)."""
    a = np.asarray(start, dtype=np.float32)
    ab = np.asarray(end, dtype=np.float32) - a
    x, y, z = space.x - a[0], space.y - a[1], space.z - a[2]
    t = np.clip((x * ab[0] + y * ab[1] + z * ab[2]) * np.float32(1 / max(float(ab @ ab), 1e-6)), 0, 1)
    distance = np.sqrt((x - t * ab[0]) ** 2 + (y - t * ab[1]) ** 2 + (z - t * ab[2]) ** 2)
    return distance - (np.float32(radii[0]) + np.float32(radii[1] - radii[0]) * t)


def rounded(path: np.ndarray) -> np.ndarray:
    """Cut the corners of a path (Chaikin), (N, 4) -> (2N, 4): x, y, z, radius."""
    first = 0.75 * path[:-1] + 0.25 * path[1:]
    second = 0.25 * path[:-1] + 0.75 * path[1:]
    return np.concatenate([path[:1], np.stack([first, second], 1).reshape(-1, path.shape[1]), path[-1:]])


def tube(space: Space, path: Sequence[Sequence[float]], reach_mm: float = 4.0) -> np.ndarray:
    """Distance to a tube along rounded corners.

    Args:
        space: where to evaluate.
        path: rows of x, y, z, radius in mm.
        reach_mm: beyond this distance the answer may be FAR_MM (it spares most of the volume).
    """
    field = np.full(space.shape, FAR_MM, dtype=np.float32)
    rows = np.asarray(path, dtype=np.float64)
    rows = rounded(rows) if len(rows) > 2 else rows
    for a, b in zip(rows[:-1], rows[1:], strict=True):
        reach = max(a[3], b[3]) + reach_mm
        where, part = space.window(np.minimum(a, b)[:3] - reach, np.maximum(a, b)[:3] + reach)
        field[where] = np.minimum(field[where], segment(part, a[:3], b[:3], (a[3], b[3])))
    return field
