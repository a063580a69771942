"""Elastic deformation in the plane: a smooth random field of displacements, and a volume read at displaced places."""

import functools

import numpy as np
import torch
from torch.nn.functional import grid_sample

from medgenesis.transforms.functional.backend import as_float, compiled_for
from medgenesis.transforms.functional.random_bits import Stream, random_bits, uniform_fraction

_TRUNCATE = 4.0  # standard deviations at which the Gaussian ends
_BLOCK = 128  # voxels smoothed by one product; beyond, most of a matrix would be zeros
_CHUNKS = 3  # no chunk is more than half of two or more cubes, so temporary memory stays within 6x the batch


def _radius(sigma: float) -> int:
    return int(_TRUNCATE * sigma + 0.5)


@functools.lru_cache(maxsize=16)
def _smoothing_matrix(side: int, sigma: float, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The matrix (side, side) that smooths one axis: a Gaussian a row, zero outside."""
    half = np.exp(-0.5 * (np.arange(_radius(sigma) + 1) / sigma) ** 2)
    half /= 2 * half.sum() - half[0]
    weights = np.zeros(max(side, len(half)))
    weights[: len(half)] = half
    places = np.arange(side)
    return torch.from_numpy(weights[np.abs(places - places[:, None])]).to(device, dtype)


def _smoothed(fields: torch.Tensor, sigma: float) -> torch.Tensor:
    """Smooth (B, 2, *spatial) by a Gaussian along all spatial axes, zero outside; `fields` is used up."""
    shape, radius, spare = fields.shape, _radius(sigma), torch.empty_like(fields)
    for side in shape[2:]:
        matrix = _smoothing_matrix(side, sigma, fields.dtype, fields.device)
        # The first axis becomes the last one: after all axes have been smoothed, they stand in order again.
        turned = fields.view(2 * shape[0], side, -1).mT
        smooth = spare.view(turned.shape)
        for start in range(0, side, _BLOCK):
            near, block = slice(max(0, start - radius), start + _BLOCK + radius), slice(start, start + _BLOCK)
            # Autocast leaves a product with an `out` alone: half precision would be too coarse for places in a cube.
            torch.matmul(turned[..., near], matrix[near, block], out=smooth[..., block])
        fields, spare = spare, fields
    return fields.view(shape)


def _noise(seeds: torch.Tensor, voxels: int) -> torch.Tensor:
    """Uniform noise in [-1, 1), float32 (B, 2, V), from one seed a cube."""
    noise = torch.empty(len(seeds), 2, voxels, device=seeds.device)
    if (kernels := compiled_for(seeds)) is not None:
        for cube, seed in zip(noise.flatten(1).numpy(), seeds.tolist(), strict=True):
            kernels.fill_elastic_noise(cube, seed)
        return noise
    for axis in range(2):  # one at a time, and nothing kept, for the sake of memory
        counters = torch.arange(axis * voxels, (axis + 1) * voxels, dtype=torch.int32, device=seeds.device)
        noise[:, axis] = uniform_fraction(random_bits(counters, seeds[:, None], Stream.ELASTIC)).mul_(2).sub_(1)
        del counters
    return noise


def displacement(
    seeds: torch.Tensor, shape: tuple[int, ...], alpha: float, sigma: float, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """The random displacements along the first two spatial axes.

    Args:
        seeds: (B,) int64, one 32-bit seed a cube, on the device to work on.
        shape: the cubes' sides, two or three, voxels.
        alpha: factor of the smoothed noise, voxels.
        sigma: standard deviation of the smoothing along all spatial axes, voxels.
        dtype: float32 or float64, to compute in.

    Returns:
        (B, 2, *shape), voxels.
    """
    noise = _noise(seeds, int(np.prod(shape))).to(dtype).view(len(seeds), 2, *shape)
    return _smoothed(noise, sigma).mul_(alpha)


def _sampled(volume: torch.Tensor, field: torch.Tensor) -> torch.Tensor:
    """Read (B, C, *spatial) at places displaced by (B, 2, *spatial), by PyTorch's operations."""
    batch, channels, rows, columns = volume.shape[:4]
    slices = as_float(volume.reshape(batch, channels, rows, columns, -1).movedim(-1, 1)).flatten(0, 1)
    down, across = field.reshape(batch, 2, rows, columns, -1).movedim(-1, 1).unbind(2)
    grid = torch.stack([across, down], dim=-1).flatten(0, 1)
    for axis, side in enumerate((columns, rows)):  # PyTorch's places go from -1 to 1, from the first face to the last
        centres = (torch.arange(side, dtype=field.dtype, device=field.device) * 2 + 1 - side) / side
        grid[..., axis].mul_(2 / side).add_(centres if axis == 0 else centres[:, None])
    sampled = grid_sample(slices, grid, "bilinear", "reflection", align_corners=False)
    # PyTorch's four weights may add up to more than 1 by rounding.
    sampled.clamp_(slices.amin((2, 3), keepdim=True), slices.amax((2, 3), keepdim=True))
    return sampled.view(batch, -1, channels, rows, columns).movedim(1, -1).view(volume.shape)


def _warped(volume: torch.Tensor, seeds: torch.Tensor, alpha: float, sigma: float) -> torch.Tensor:
    """Some cubes displaced, in single or double precision."""
    dtype = torch.promote_types(volume.dtype, torch.float32)
    field = displacement(seeds, tuple(volume.shape[2:]), alpha, sigma, dtype)
    if (kernels := compiled_for(volume)) is None:
        return _sampled(volume, field)
    cubes = as_float(volume)
    warped = torch.empty_like(cubes)
    for cube in zip(*(values.flatten(3).numpy() for values in (cubes, warped, field)), strict=True):
        kernels.warp_in_plane(*cube, volume.shape[3])
    return warped


def warp_in_plane(volume: torch.Tensor, seeds: np.ndarray, alpha: float, sigma: float) -> torch.Tensor:
    """Displace each voxel along the first two spatial axes by a smooth random field, all channels alike.

    Values are interpolated linearly; beyond its faces the volume goes on as in a mirror (half-sample reflection).

    Args:
        volume: (B, C, *spatial), floating point; halves are computed in single precision.
        seeds: (B,) what each cube's field is hashed from.
        alpha: factor of the smoothed noise, voxels.
        sigma: standard deviation of the smoothing along all spatial axes, voxels.

    Returns:
        A new tensor of the same shape and dtype; no value leaves the range of those that its slice held.
    """
    warped, cube_seeds = torch.empty_like(volume), torch.from_numpy(seeds).to(volume.device)
    chunks = _CHUNKS if compiled_for(volume) is None else len(volume)  # one cube stays in the processor's cache
    for part, some, result in zip(*(values.chunk(chunks) for values in (volume, cube_seeds, warped)), strict=True):
        result.copy_(_warped(part, some, alpha, sigma))
    return warped
