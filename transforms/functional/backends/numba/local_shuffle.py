"""Local shuffling, compiled; see `functional.windows` for what it does."""

import functools
import math

import numpy as np

from medgenesis.transforms.functional.backends.numba.hashing import below, hash_keys, hash_word, word
from medgenesis.transforms.functional.backends.numba.jit import kernel, part
from medgenesis.transforms.functional.random_bits import Stream

_LARGEST_TABLE = 2**22  # offsets: 16 MB
_SIDE, _START, _PERMUTATION = int(Stream.WINDOW_SIDE), int(Stream.WINDOW_START), int(Stream.WINDOW_PERMUTATION)


@functools.lru_cache(maxsize=8)
def _offset_table(max_sides, strides):
    """Flat offsets of a window's voxels from its first one, for every size up to the greatest, and where each begins.

    One flat loop over a window's voxels is much faster than three nested ones of a few rounds each. Of large windows
    there are too many sizes: their table is empty, and has room for the offsets of one window.
    """
    if math.prod(side * (side + 1) // 2 for side in max_sides) > _LARGEST_TABLE:
        return np.empty((0, 0, 0), np.int64), np.empty(math.prod(max_sides), np.uint32)
    return _fill_offset_table(max_sides, strides)


@kernel
def _fill_offset_table(max_sides, strides):
    a, b, c = max_sides
    first = np.empty((a, b, c), np.int64)
    offsets = np.empty(a * (a + 1) // 2 * (b * (b + 1) // 2) * (c * (c + 1) // 2), np.uint32)
    k = 0
    for i, j, m in np.ndindex(max_sides):
        first[i, j, m] = k
        k = _fill_offsets(offsets, k, (i + 1, j + 1, m + 1), strides)
    return first, offsets


@part
def _fill_offsets(offsets, k, sides, strides):
    """Write the offsets of one window from place k on; return where they end."""
    for x in range(sides[0]):
        for y in range(sides[1]):
            for z in range(sides[2]):
                offsets[k] = x * strides[0] + y * strides[1] + z * strides[2]
                k += 1
    return k


@part
def _place(counter, side_keys, start_keys, space, greatest):
    """Start and side of a window on one axis."""
    side = 1 + below(hash_word(counter, side_keys), greatest)
    return below(hash_word(counter, start_keys), space - side + 1), side


@kernel
def _shuffle_windows(cube, shuffled, seed, shape, rank, windows, max_sides, strides, first, offsets):
    """Write every window of `shuffled`, a copy of the cube; unsigned indices are not checked for a minus sign."""
    side_keys, start_keys = hash_keys(seed, _SIDE), hash_keys(seed, _START)
    draw_keys = hash_keys(seed, _PERMUTATION)
    greatest = max_sides[0] * max_sides[1] * max_sides[2]
    tabled = first.size > 0
    draws, sources = np.empty(greatest, np.uint32), np.empty(greatest, np.uint32)
    for window in range(windows):
        c = window * rank + rank - 3  # the flat first axis of an image has a side of 1 whatever is drawn
        x, a = _place(word(c), side_keys, start_keys, shape[0], max_sides[0])
        y, b = _place(word(c + 1), side_keys, start_keys, shape[1], max_sides[1])
        z, d = _place(word(c + 2), side_keys, start_keys, shape[2], max_sides[2])
        voxel, length = np.uint64(x * strides[0] + y * strides[1] + z), np.uint64(a * b * d)
        begin, counter = np.uint64(0), word(window * greatest)
        if tabled:
            begin = np.uint64(first[a - 1, b - 1, d - 1])
        else:
            _fill_offsets(offsets, 0, (a, b, d), strides)
        for k in range(length):  # a loop of its own, because it is vectorised
            bits = hash_word(word(counter + word(k)), draw_keys)
            draws[k] = (np.uint64(bits) * (k + np.uint64(1))) >> np.uint64(32)
        for k in range(length):
            chosen = draws[k]
            sources[k] = sources[chosen]
            sources[chosen] = voxel + offsets[begin + k]
        for channel in range(cube.shape[0]):
            for k in range(length):
                shuffled[channel, voxel + offsets[begin + k]] = cube[channel, sources[k]]


def shuffle(cube, shuffled, seed, shape, rank, windows, max_sides):
    """Shuffle a cube (C, V) into another.

    Args:
        cube: (C, V), contiguous.
        shuffled: (C, V), written to.
        seed: what the windows are hashed from.
        shape: three spatial sides; that of a 2D image has a leading 1, likewise `max_sides`.
        rank: how many of these axes are the image's own, 2 or 3.
        windows: how many.
        max_sides: greatest side of a window on each axis.
    """
    strides = (shape[1] * shape[2], shape[2], 1)
    first, offsets = _offset_table(max_sides, strides)
    offsets = offsets if first.size else offsets.copy()  # threads share the table, but not what they write to
    shuffled[:] = cube
    _shuffle_windows(cube, shuffled, seed, shape, rank, windows, max_sides, strides, first, offsets)
