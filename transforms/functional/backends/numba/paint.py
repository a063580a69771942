"""Painting with noise, compiled; see `functional.blocks` for what it does."""

import numpy as np

from medgenesis.transforms.functional.backends.numba.hashing import fraction, hash_keys, hash_word, word
from medgenesis.transforms.functional.backends.numba.jit import kernel, part
from medgenesis.transforms.functional.random_bits import Stream

_NOISE = int(Stream.NOISE)


@part
def _noise(counter, keys, width, low, high):
    value = np.float32(fraction(hash_word(counter, keys)) * width) + low
    value = value if value > low else low
    return value if value < high else high


@kernel
def paint_blocks(cube, blocks, seed, low, high):
    """Fill blocks (K, 2, 3) of a cube (C, X, Y, Z) with noise, the same in all channels, IN PLACE."""
    keys, width = hash_keys(seed, _NOISE), np.float32(high - low)
    low, high = np.float32(low), np.float32(high)
    _, _, ny, nz = cube.shape
    for block in blocks:
        for x in range(block[0, 0], block[1, 0]):
            for y in range(block[0, 1], block[1, 1]):
                row = (x * ny + y) * nz
                for channel in range(cube.shape[0]):
                    for z in range(block[0, 2], block[1, 2]):
                        cube[channel, x, y, z] = _noise(word(row + z), keys, width, low, high)


@kernel
def paint_around(cube, blocks, painted, seed, low, high):
    """Noise for each voxel of `painted` (C, X, Y, Z), but the blocks (K, 2, 3) of the cube."""
    keys, width = hash_keys(seed, _NOISE), np.float32(high - low)
    low, high = np.float32(low), np.float32(high)
    flat = painted.reshape(-1)
    for voxel in range(flat.size):
        flat[voxel] = _noise(word(voxel), keys, width, low, high)
    for block in blocks:
        for channel in range(cube.shape[0]):
            for x in range(block[0, 0], block[1, 0]):
                for y in range(block[0, 1], block[1, 1]):
                    for z in range(block[0, 2], block[1, 2]):
                        painted[channel, x, y, z] = cube[channel, x, y, z]
