"""The monotone cubic Bezier curve as a map of intensities."""

import torch

from medgenesis.errors import VolumeError

_CELLS = 4096  # uniform table over the intensities; a power of two, so that a float32 voxel finds its cell exactly
_SEGMENTS = 32768  # polyline that stands for the curve: off by at most 0.385 * 3 / 32768 = 3.5e-5 where x ~ t^3
_TABLE_ERROR = 2e-5  # a cell where the table is further off the polyline is looked up in the polyline itself
_STEEP_RISE = 0.05  # likewise a cell that rises so much: there float32 rounding of the intensity would show


def _bernstein(t: torch.Tensor, controls: torch.Tensor) -> torch.Tensor:
    """Cubic with the four control values `controls` at the parameters `t` (sums of positive terms: no cancellation)."""
    s = 1 - t
    first, second, third, last = controls.tolist()
    return s * s * (s * first + t * (3 * second)) + t * t * (s * (3 * third) + t * last)


def bezier_curve(control_points: torch.Tensor, decreasing: bool, segments: int = _SEGMENTS) -> torch.Tensor:
    """Points of one curve.

    Args:
        control_points: (2, 2) the inner points (x, y), fractions in [0, 1].
        decreasing: pair x(t) with y(1 - t), so that the map falls from 1 to 0.
        segments: the points stand at t = 0, 1 / segments, ..., 1.

    Returns:
        float64 (2, segments + 1): x, rising, and y.
    """
    inner = control_points.to(torch.float64)
    ends = inner.new_tensor([[0.0, 0.0], [1.0, 1.0]])
    x, y = torch.cat([ends[:1], inner, ends[1:]]).T
    t = torch.linspace(0, 1, segments + 1, dtype=torch.float64, device=inner.device)
    return torch.stack([_bernstein(t, x), _bernstein(t, y.flip(0) if decreasing else y)])


def _interpolate(at: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Piecewise linear through (x, y), x rising from 0 to 1."""
    right = torch.searchsorted(x, at.contiguous()).clamp_(1, len(x) - 1)
    left = right - 1
    weight = ((at - x[left]) / (x[right] - x[left])).clamp_(0, 1)
    return torch.lerp(y[left], y[right], weight)


def _lookup(at: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Value at fractions in [0, 1] in a uniform table of `_CELLS + 1` nodes, and the cells they fall in."""
    position = at * _CELLS
    cell = position.long().clamp_(max=_CELLS - 1)
    left = table[cell]
    return torch.addcmul(left, position - cell, table[cell + 1] - left), cell


def _map_cube(fraction: torch.Tensor, control_points: torch.Tensor, decreasing: bool) -> torch.Tensor:
    """Map the fractions of one cube; see `bezier_map` for the error."""
    x, y = bezier_curve(control_points, decreasing)
    nodes = torch.linspace(0, 1, _CELLS + 1, dtype=torch.float64, device=x.device)
    table = _interpolate(nodes, x, y)
    # Table and polyline are both piecewise linear and meet at the nodes: they differ most at a point of the polyline.
    on_curve, cells = _lookup(x, table)
    hard = table.diff().abs() > _STEEP_RISE
    hard[cells[(on_curve - y).abs() > _TABLE_ERROR]] = True
    mapped, cell = _lookup(fraction, table.to(fraction.dtype))
    if hard.any():
        where = hard[cell]
        mapped[where] = _interpolate(fraction[where].to(torch.float64), x, y).to(mapped.dtype)
    return mapped


def bezier_map(
    volume: torch.Tensor,
    control_points: torch.Tensor,
    decreasing: torch.Tensor,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> torch.Tensor:
    """Map intensities by a monotone cubic Bezier curve from (0, 0) over two control points to (1, 1).

    x(t) and y(t) are cubics with control values (0, x1, x2, 1) and (0, y1, y2, 1); an intensity x(t) becomes y(t), or
    y(1 - t) where the map is decreasing. Control points in the unit square make both rise, so x(t) has an inverse.

    Args:
        volume: (B, C, *spatial), floating point, within `value_range`; what lies outside becomes the end values.
        control_points: (B, 2, 2) the inner points (x, y), fractions in [0, 1].
        decreasing: (B,) bool.
        value_range: the intensities that stand for 0 and 1.

    Returns:
        A new tensor of the same shape and dtype.

    Raises:
        VolumeError: the shapes do not fit each other.

    References:
        Zhou et al., Models Genesis, Medical Image Analysis 2021, arXiv 2004.07882, section 3.2.

    Notes:
        The error is at most 1e-4 of the range for every curve, also where it is vertical: a uniform table is used in
        those of its cells where it is found to be within 2e-5 of a polyline of 32 768 segments, and the polyline
        itself elsewhere.
    """
    batch = volume.shape[0]
    if tuple(control_points.shape) != (batch, 2, 2) or tuple(decreasing.shape) != (batch,):
        raise VolumeError(
            f"control_points must be ({batch}, 2, 2) and decreasing ({batch},) for a batch of {batch}, but they are "
            f"{tuple(control_points.shape)} and {tuple(decreasing.shape)}: give one curve a cube"
        )
    low, high = value_range
    # On another range the rounding of float32 would show where the curve is vertical; on (0, 1) nothing is rounded.
    exact = torch.float32 if (low, high) == (0, 1) and volume.dtype != torch.float64 else torch.float64
    fraction = volume.to(exact).sub(low).div(high - low).clamp_(0, 1)
    points, falls = control_points.to(volume.device), decreasing.tolist()
    mapped = torch.stack([_map_cube(cube, points[b], falls[b]) for b, cube in enumerate(fraction)])
    return mapped.mul_(high - low).add_(low).to(volume.dtype)
