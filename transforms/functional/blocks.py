"""Rectangular blocks of a cube: where they may lie, which voxels they cover, and the noise that fills them."""

import numpy as np
import torch

from medgenesis.transforms.functional.random_bits import Stream, random_bits, uniform_fraction


def whole_voxels(shape: np.ndarray, fraction: float) -> np.ndarray:
    """A fraction of each side in whole voxels, rounded down (1/6 of 48 is 8 whatever the floats say)."""
    return np.floor(shape * fraction + 1e-9).astype(np.int64)


def count_while(uniforms: np.ndarray, probability: float) -> np.ndarray:
    """How often (B,) one goes on: each of the tries (B, K) succeeds with a probability, the first failure ends it."""
    return np.cumprod(uniforms < probability, axis=1).sum(axis=1)


def place_blocks(uniforms: np.ndarray, shape: np.ndarray, side_range: tuple[np.ndarray, np.ndarray], margin: int):
    """Turn uniform numbers into blocks.

    Args:
        uniforms: (B, K, 2, n) in [0, 1): for the sides, and for the places.
        shape: (n,) the cube's sides, voxels.
        side_range: least and greatest side (n,), both ends in.
        margin: voxels between block and border; where they do not fit, as many on both sides as do.

    Returns:
        int64 (B, K, 2, n): first voxel, and one past the last.
    """
    low, high = side_range
    sides = low + np.floor(uniforms[:, :, 0] * (high - low + 1)).astype(np.int64)
    room = shape - sides
    border = np.minimum(margin, room // 2)
    starts = border + np.floor(uniforms[:, :, 1] * (room - 2 * border + 1)).astype(np.int64)
    return np.stack([starts, starts + sides], axis=2)


def drop_blocks(blocks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Keep each cube's first `counts` (B,) blocks; the others become empty."""
    blocks = blocks.copy()
    dropped = np.arange(blocks.shape[1]) >= counts[:, None]
    blocks[dropped, 1] = blocks[dropped, 0]
    return blocks


def block_mask(blocks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which voxels lie in a block: (B, K, 2, n) -> bool (B, *spatial)."""
    mask = np.zeros((len(blocks), *shape), dtype=bool)
    for cube, cube_blocks in zip(mask, blocks, strict=True):
        for first, end in cube_blocks:
            cube[tuple(slice(a, b) for a, b in zip(first, end, strict=True))] = True
    return mask


def noise_at(seed: int, counters: np.ndarray) -> np.ndarray:
    """Uniform noise in [0, 1), float32, one number a counter."""
    return uniform_fraction(random_bits(counters, np.array([seed]), Stream.NOISE))


def scale_noise(noise: np.ndarray, like: torch.Tensor, value_range: tuple[float, float]) -> torch.Tensor:
    """Bring noise from [0, 1) to a volume's range, dtype and device."""
    low, high = value_range
    scaled = torch.from_numpy(noise).to(like.device).mul(high - low).add(low).clamp(low, high)
    return scaled.to(like.dtype)
