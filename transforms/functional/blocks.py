"""Rectangular blocks of a cube: where they may lie, which voxels they cover, and the noise that fills them."""

from collections.abc import Sequence

import numpy as np
import torch

from medgenesis.transforms.functional.backend import as_float, compiled_for
from medgenesis.transforms.functional.random_bits import Stream, random_bits, uniform_fraction


def whole_voxels(shape: np.ndarray, fractions: float | Sequence[float]) -> np.ndarray:
    """Fractions of each side (n,) in whole voxels, rounded down (1/6 of 48 is 8 whatever rounding gives)."""
    return (np.multiply.outer(fractions, shape) + 1e-9).astype(np.int64)


def count_while(uniforms: np.ndarray, probability: float) -> np.ndarray:
    """How often (B,) one goes on: each of the tries (B, K) succeeds with a probability, the first failure ends it."""
    return np.logical_and.accumulate(uniforms < probability, axis=1).sum(axis=1)


def place_blocks(
    uniforms: np.ndarray,
    counts: np.ndarray,
    shape: np.ndarray,
    side_range: tuple[np.ndarray, np.ndarray],
    margin: int | np.ndarray,
) -> np.ndarray:
    """Turn uniform numbers into blocks.

    Args:
        uniforms: (B, K, 2, n) in [0, 1): for the sides, and for the places.
        counts: (B,) how many blocks each cube has; the others are empty.
        shape: (n,) the cube's sides, voxels.
        side_range: least and greatest side (n,), both ends in.
        margin: voxels between block and border, for all axes or (n,) each; where they do not fit, as many on both
            sides as do.

    Returns:
        int64 (B, K, 2, n): first voxel, and one past the last.
    """
    low, high = side_range
    blocks = np.empty(uniforms.shape, np.int64)
    starts, ends = blocks[:, :, 0], blocks[:, :, 1]
    sides = low + (uniforms[:, :, 0] * (high - low + 1)).astype(np.int64)
    room = shape - sides
    border = np.minimum(margin, room // 2)
    starts[:] = border + (uniforms[:, :, 1] * (room - 2 * border + 1)).astype(np.int64)
    sides[np.arange(sides.shape[1]) >= counts[:, None]] = 0
    np.add(starts, sides, out=ends)
    return blocks


def block_mask(blocks: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Which voxels lie in a block: (B, K, 2, n) -> bool (B, *spatial)."""
    within = []
    for axis, side in enumerate(shape):
        places = torch.arange(side, device=blocks.device)
        first, end = blocks[..., axis, None].unbind(2)
        within.append(((places >= first) & (places < end)).float())
    # how many blocks a voxel lies in, as a product of matrices: much faster than a logical "or" of blocks
    counts = torch.einsum("bkx,bky,bkz->bxyz" if len(shape) == 3 else "bkx,bky->bxy", *within)
    return counts > 0


def noise_volume(seeds: torch.Tensor, channels: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Uniform noise in [0, 1), float32 (B, channels, *spatial), from one seed a cube."""
    counters = torch.arange(channels * int(np.prod(shape)), dtype=torch.int32, device=seeds.device)
    words = random_bits(counters, seeds[:, None], Stream.NOISE)
    return uniform_fraction(words).view(-1, channels, *shape)


def paint(
    volume: torch.Tensor,
    blocks: np.ndarray,
    seeds: np.ndarray,
    inside: bool,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> torch.Tensor:
    """Fill blocks with noise, the same for all channels; or everything but the blocks, each channel with its own.

    Args:
        volume: (B, C, *spatial), floating point.
        blocks: (B, K, 2, n) first voxel, and one past the last.
        seeds: (B,) one 32-bit seed a cube.
        inside: what is filled.
        value_range: the noise is uniform between these.

    Returns:
        A new tensor of the same shape and dtype.
    """
    low, high = value_range
    if (kernels := compiled_for(volume)) is not None:
        sides = (1, *volume.shape[2:])[-3:]  # an image is a volume of one slice
        cubes = as_float(volume).numpy().reshape(*volume.shape[:2], *sides)
        painted = cubes.copy() if inside else np.empty_like(cubes)
        for cube, new, cube_blocks, seed in zip(cubes, painted, _in_space(blocks), seeds.tolist(), strict=True):
            if inside:
                kernels.paint_blocks(new, cube_blocks, seed, low, high)
            else:
                kernels.paint_around(cube, cube_blocks, new, seed, low, high)
        return torch.from_numpy(painted).view(volume.shape).to(volume.dtype)
    mask = block_mask(torch.from_numpy(blocks).to(volume.device), tuple(volume.shape[2:]))[:, None]
    channels = 1 if inside else volume.shape[1]
    noise = noise_volume(torch.from_numpy(seeds).to(volume.device), channels, tuple(volume.shape[2:]))
    noise = noise.mul_(high - low).add_(low).clamp_(low, high).to(volume.dtype)
    return torch.where(mask, *((noise, volume) if inside else (volume, noise)))


def _in_space(blocks: np.ndarray) -> np.ndarray:
    """Blocks (B, K, 2, 3), those of an image lying in its one slice."""
    missing = 3 - blocks.shape[-1]
    slice_of_image = np.broadcast_to([[0], [1]], (*blocks.shape[:-1], missing))
    return np.concatenate([slice_of_image, blocks], axis=-1) if missing else blocks
