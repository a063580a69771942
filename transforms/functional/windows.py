"""Local shuffling: which voxel each voxel comes from, when many small windows are permuted one after another."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.transforms.functional.random_bits import Stream, random_bits, uniform_below

_ENTRIES_AT_ONCE = 2**23  # bounds the temporary arrays; the cubes of 64 x 64 x 32 need one pass


@dataclass(frozen=True, eq=False)
class Windows:
    """Some windows of one cube, in the order in which they are written.

    Attributes:
        starts: (W, n) first voxel of each window.
        sides: (W, n) voxels.
        permutations: the windows' permutations one after another; in window w, voxel k (C order) is read from voxel
            permutations[offsets[w] + k] of the same window.
        offsets: (W,).
    """

    starts: np.ndarray
    sides: np.ndarray
    permutations: np.ndarray
    offsets: np.ndarray


def _place(numbers: np.ndarray, seed: np.ndarray, shape: np.ndarray, max_sides: np.ndarray) -> tuple[np.ndarray, ...]:
    """Starts and sides, both (W, n), of the windows with these numbers."""
    counters = numbers[:, None] * len(shape) + np.arange(len(shape))
    sides = 1 + uniform_below(random_bits(counters, seed, Stream.WINDOW_SIDE), max_sides)
    starts = uniform_below(random_bits(counters, seed, Stream.WINDOW_START), shape - sides + 1)
    return starts, sides


def _shuffle_segments(items: np.ndarray, draws: np.ndarray, offsets: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Permute each segment of `items` uniformly: the inside-out Fisher-Yates shuffle, all segments in step.

    Args:
        items: (N,) the segments one after another.
        draws: (N,) for position k of its segment a number in 0..k.
        offsets: (W,) where each segment starts.
        lengths: (W,).
    """
    shuffled = items.copy()
    longest_first = np.argsort(-lengths, kind="stable")
    offsets = offsets[longest_first]
    longer_than = len(lengths) - np.searchsorted(np.sort(lengths), np.arange(lengths.max()), side="right")
    for k in range(1, lengths.max()):
        first = offsets[: longer_than[k]]
        here = first + k
        there = first + draws[here]
        shuffled[here] = shuffled[there]
        shuffled[there] = items[here]
    return shuffled


def _ragged(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets (W,) of segments laid one after another, and for each entry (N,) its segment and its place in it."""
    ends = np.cumsum(lengths)
    offsets = ends - lengths
    segment = np.repeat(np.arange(len(lengths)), lengths)
    return offsets, segment, np.arange(ends[-1]) - offsets[segment]


def _draws(numbers: np.ndarray, place: np.ndarray, seed: np.ndarray, max_sides: np.ndarray) -> np.ndarray:
    """For each entry (its window's number, its place in the window) the number in 0..place for Fisher-Yates."""
    counters = numbers * int(np.prod(max_sides)) + place
    return uniform_below(random_bits(counters, seed, Stream.WINDOW_PERMUTATION), place + 1)


def expand_windows(seed: int, shape: tuple[int, ...], windows: int, max_sides: tuple[int, ...]) -> Windows:
    """Every window and permutation that a seed stands for, to be logged or looked at."""
    key, bounds, numbers = np.array([seed]), np.array(max_sides), np.arange(windows)
    starts, sides = _place(numbers, key, np.array(shape), bounds)
    lengths = sides.prod(axis=1)
    offsets, window, place = _ragged(lengths)
    permutations = _shuffle_segments(place, _draws(numbers[window], place, key, bounds), offsets, lengths)
    return Windows(starts, sides, permutations, offsets)


def _moves(numbers: np.ndarray, key: np.ndarray, shape: np.ndarray, max_sides: np.ndarray) -> tuple[np.ndarray, ...]:
    """Flat voxels written by these windows, in order, and the flat voxels that they are read from."""
    starts, sides = _place(numbers, key, shape, max_sides)
    lengths = sides.prod(axis=1)
    offsets, window, place = _ragged(lengths)
    voxel = np.zeros_like(place)
    rest, stride = place, 1
    for axis in range(len(shape) - 1, -1, -1):
        side = sides[:, axis]
        quotient = ((rest + 0.5) * (1 / side)[window]).astype(np.int64)  # rest // side, without slow integer division
        voxel += (rest - quotient * side[window] + starts[:, axis][window]) * stride
        rest = quotient
        stride *= int(shape[axis])
    return voxel, _shuffle_segments(voxel, _draws(numbers[window], place, key, max_sides), offsets, lengths)


def _chunks(windows: int, max_volume: int) -> Iterator[np.ndarray]:
    step = max(1024, _ENTRIES_AT_ONCE // max_volume)
    for start in range(0, windows, step):
        yield np.arange(start, min(start + step, windows))


def shuffle_sources(seed: int, shape: tuple[int, ...], windows: int, max_sides: tuple[int, ...]) -> np.ndarray:
    """For each voxel the voxel it is read from, after all windows of one cube were written in turn.

    Each window reads the ORIGINAL cube and permutes its voxels uniformly; where windows overlap the last one wins.

    Args:
        seed: what the windows are hashed from.
        shape: the cube's spatial sides, voxels.
        windows: how many.
        max_sides: a window's side is uniform on 1..max_sides, its place uniform where it fits.

    Returns:
        int64, one flat index (C order) a voxel.
    """
    key, sides, bounds = np.array([seed]), np.array(shape), np.array(max_sides)
    sources = np.arange(int(sides.prod()))
    for numbers in _chunks(windows, int(bounds.prod())):
        written, read = _moves(numbers, key, sides, bounds)
        sources[written] = read  # NumPy promises that the last of repeated indices wins
    return sources


def gather_voxels(volume: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Read each voxel from another place, the same for all channels.

    Args:
        volume: (B, C, *spatial).
        sources: (B, V) int64, flat spatial indices.
    """
    flat = volume.flatten(2)
    return flat.gather(2, sources[:, None].expand(-1, flat.shape[1], -1)).reshape(volume.shape)
