"""The monotone cubic Bezier curve as a map of intensities."""

import functools
from types import ModuleType

import numpy as np
import torch

from medgenesis.errors import VolumeError
from medgenesis.transforms.functional.backend import as_float, compiled_for

CELLS = 2048  # cells of each half of a curve's table: the lines between its nodes are off the curve by up to 3.5e-5
NEWTON_STEPS = 4  # from a start twice too far at most; the nodes are then exact to 3e-8
STRAIGHT = 1e-12  # a smaller cubic term of x(t) does not show
_TINY = 1e-300  # rather than a division by zero
_ENDS = np.array([0.0, 1.0])


def bezier_curve(control_points: torch.Tensor, decreasing: bool, segments: int) -> torch.Tensor:
    """Points of one curve.

    Args:
        control_points: (2, 2) the inner points (x, y), fractions in [0, 1].
        decreasing: pair x(t) with y(1 - t), so that the map falls from 1 to 0.
        segments: the points stand at t = 0, 1 / segments, ..., 1.

    Returns:
        float64 (2, segments + 1): x, rising, and y.
    """
    t = torch.linspace(0, 1, segments + 1, dtype=torch.float64, device=control_points.device)
    first, second = control_points.to(torch.float64)[..., None]
    s = 1 - t
    x, y = s * t * (3 * s * first + 3 * t * second) + t**3  # a sum of positive terms: no cancellation
    return torch.stack([x, y.flip(0) if decreasing else y])


def _halves(control_points: np.ndarray, decreasing: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut curves, (B, 2, 2) and (B,), in two halves that begin where they can be vertical.

    Both begin at the inflection of x(t) where x' is least there (at the end next to it if it lies outside), else at
    the ends. tau away in t, x is slope tau + bend tau^2 + cube tau^3 away: rising, and convex up to the inflection.
    NumPy does this, because with so few numbers it takes half of torch's time; on a GPU, one transfer is left.

    Returns:
        Whether both halves begin at the inflection (B, 1), its x (B, 1), and (11, B, 2, 1) numbers of the halves:
        slope, bend, cube; three bounds of tau, see `_tabulate`; where the half begins in t, and the sign of tau, both
        mirrored if the map decreases; and the factors of t, t^2, t^3 in y(t).
    """
    first, second = control_points.transpose(1, 2, 0)[..., None]
    linears, squares, cubes = 3 * first, 3 * (second - 2 * first), 1 + 3 * (first - second)
    linear, square, cube = linears[0], squares[0], cubes[0]
    centred = cube > STRAIGHT
    inflection = square / np.where(centred, cube, np.minimum(cube, -STRAIGHT)) / -3
    inflection = np.minimum(np.maximum(inflection, 0), 1)
    before = 1 - inflection
    x = before * before * (inflection * linear) + inflection * inflection * (before * (3 * second[0]) + inflection)

    begin = np.where(centred, inflection, _ENDS)
    away = np.where(centred, 2 * _ENDS - 1, 1 - 2 * _ENDS)
    turn = 3 * cube * begin
    slope = np.maximum((turn + 2 * square) * begin + linear, _TINY)
    bend = (turn + square) * away
    bend = np.where(centred, np.maximum(bend, 0), bend)  # negative by rounding, or in a half that is empty
    bounds = np.sqrt(1.5 / np.maximum(bend, _TINY)), np.maximum(cube, _TINY) ** (-1 / 3)
    farthest = np.where(centred, 1.0, np.abs(inflection - _ENDS))
    falls = decreasing[:, None]
    begin, away = np.where(falls, 1 - begin, begin), np.where(falls, -away, away)
    numbers = np.empty((11, *begin.shape, 1))
    rows = slope, bend, cube, *bounds, farthest, begin, away, linears[1], squares[1], cubes[1]
    for number, row in zip(numbers[..., 0], rows, strict=True):
        number[:] = row
    return centred, x, numbers


@functools.lru_cache(maxsize=8)
def _distances(device: torch.device) -> tuple[torch.Tensor, ...]:
    """Distances of the nodes from where a half begins, (k / CELLS)^4; their square and cube roots."""
    root = torch.arange(CELLS + 2, dtype=torch.float64) / CELLS
    return tuple((root**power).to(device) for power in (4, 2, 4 / 3))


def _tabulate(numbers: torch.Tensor) -> torch.Tensor:
    """Tabulate y over the fourth root of the distance in x from where a half begins: there it is smooth.

    Newton's method starts from the least of what one term of the distance alone would give, and of the inflection;
    it then closes in from one side, where x is convex and where it is concave.

    Args:
        numbers: (11, B, 2, 1) as from `_halves`, float64.

    Returns:
        (B, 2, CELLS + 2) at the distances (k / CELLS)^4, one beyond the last: a half may end within a cell.
    """
    slope, bend, cube, by_bend, by_cube, farthest, begin, away, linear, square, cubic = numbers.unbind()
    distance, square_root, cube_root = _distances(numbers.device)
    tau = (distance / slope).minimum(square_root * by_bend).minimum(cube_root * by_cube).minimum(farthest)
    double = 2 * bend
    for _ in range(NEWTON_STEPS):
        top = torch.addcmul(bend, cube, tau, value=2).mul_(tau).mul_(tau).add_(distance)
        tau = top.div_(torch.addcmul(double, cube, tau, value=3).mul_(tau).add_(slope))
    t = tau.mul_(away).add_(begin)
    return (t * cubic).add_(square).mul_(t).add_(linear).mul_(t)


def _places(
    cubes: torch.Tensor, centred: np.ndarray, x: np.ndarray, value_range: tuple[float, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far voxels (B, V) are from where their half begins, in cells, and in which half they are: 0 or 1."""
    low, high = value_range
    begin = np.where(centred, x * (high - low) + low, low)
    anchors = np.empty((4, len(x), 1))
    anchors[0] = begin.astype(np.float32 if cubes.dtype == torch.float32 else np.float64)
    anchors[1] = begin - anchors[0]  # where a curve is vertical, the rounding of its place would show
    anchors[2] = np.where(centred, 0, (high - low) / 2)
    anchors[3] = np.where(centred, np.inf, high)
    near, rest, border, end = torch.from_numpy(anchors).to(cubes.device, cubes.dtype).unbind()
    place = cubes.clamp(low, high)
    beyond = None if centred.all() else (end - place).abs_()
    place.sub_(near).sub_(rest)
    half = torch.gt(place, border, out=torch.empty_like(place))
    place.abs_()
    if beyond is not None:
        torch.minimum(place, beyond, out=place)
    return place.sqrt_().sqrt_().mul_(CELLS * (high - low) ** -0.25), half


def _look_up(place: torch.Tensor, half: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Read the tables (B, 2, CELLS + 2) between two nodes along the line; `place` and `half` are used up."""
    values = table.to(place.dtype).view(-1)
    rises = values[1:] - values[:-1]
    cell = place.floor()
    place.sub_(cell)
    node = cell.add_(half, alpha=CELLS + 2).to(torch.int32)
    del cell
    if len(table) > 1:
        first = torch.arange(0, table.numel(), 2 * (CELLS + 2), dtype=torch.int32, device=table.device)
        node.add_(first[:, None])
    node = node.view(-1)
    risen = torch.index_select(rises, 0, node, out=half.view(-1)).mul_(place.view(-1))
    return torch.index_select(values, 0, node, out=place.view(-1)).add_(risen)


def _map_compiled(
    kernels: ModuleType,
    cubes: torch.Tensor,
    control_points: np.ndarray,
    decreasing: np.ndarray,
    value_range: tuple[float, float],
) -> torch.Tensor:
    mapped = torch.empty_like(cubes)
    for cube in zip(cubes.numpy(), mapped.numpy(), control_points, decreasing.tolist(), strict=True):
        kernels.map_intensity(*cube, value_range)
    return mapped


def _array(values: np.ndarray | torch.Tensor) -> np.ndarray:
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else values


@torch.no_grad()
def bezier_map(
    volume: torch.Tensor,
    control_points: np.ndarray | torch.Tensor,
    decreasing: np.ndarray | torch.Tensor,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> torch.Tensor:
    """Map intensities by a monotone cubic Bezier curve from (0, 0) over two control points to (1, 1).

    x(t) and y(t) are cubics with control values (0, x1, x2, 1) and (0, y1, y2, 1); an intensity x(t) becomes y(t), or
    y(1 - t) where the map is decreasing. Control points in the unit square make both rise, so x(t) has an inverse.

    Args:
        volume: (B, C, *spatial), floating point, within `value_range`; what lies outside becomes the end values.
        control_points: (B, 2, 2) the inner points (x, y), fractions in [0, 1].
        decreasing: (B,) bool.
        value_range: the intensities that stand for 0 and 1, as the volume's type holds them (halves: float32).

    Returns:
        A new tensor of the same shape and dtype.

    Raises:
        VolumeError: the shapes do not fit each other.

    References:
        Zhou et al., Models Genesis, Medical Image Analysis 2021, arXiv 2004.07882, section 3.2.

    Notes:
        The error is at most 1e-4 of the range for every curve, also where it is vertical: there, in one place or at
        the ends, y goes with a root of the distance in x, and is tabulated over the fourth root of it. A uniform table
        of 4096 cells, as is usual, misses 1e-4 for 4 % of the curves.
    """
    batch = volume.shape[0]
    if tuple(control_points.shape) != (batch, 2, 2) or tuple(decreasing.shape) != (batch,):
        raise VolumeError(
            f"control_points, decreasing: must be ({batch}, 2, 2) and ({batch},) for a batch of {batch}; found "
            f"{tuple(control_points.shape)} and {tuple(decreasing.shape)}. Give one curve a cube."
        )
    cubes = as_float(volume).flatten(1)
    held = np.float64 if cubes.dtype == torch.float64 else np.float32
    low, high = value_range = tuple(float(held(end)) for end in value_range)
    points, falls = _array(control_points).astype(np.float64, copy=False), _array(decreasing)
    if (kernels := compiled_for(volume)) is not None:
        mapped = _map_compiled(kernels, cubes, points, falls, value_range)
    else:
        centred, x, numbers = _halves(points, falls)
        numbers[8:] *= high - low
        table = _tabulate(torch.from_numpy(numbers).to(cubes.device)).add_(low)
        mapped = _look_up(*_places(cubes, centred, x, value_range), table).clamp_(low, high)
    return mapped.view(volume.shape).to(volume.dtype)
