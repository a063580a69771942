"""Local shuffling: which voxel each voxel comes from, when many small windows are permuted one after another."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.transforms.functional.random_bits import Stream, random_bits, uniform_below

# Windows are worked through some thousand at a time: temporary arrays then stay in the processor's cache (1.5 times as
# fast at 64 x 64 x 32 as all at once), and those of large cubes stay within bounds.
_WINDOWS_AT_ONCE = (500, 3334)
_VOXELS_AT_ONCE = 2**23


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


class _Rounds:
    """The voxels of some windows laid out for shuffling them all in step.

    Round k holds the k-th voxel of every window that has one. Windows stand longest first, so that the windows of a
    round are the first ones of the round before.

    Attributes:
        order: (W,) windows, longest first.
        bounds: where each round starts; the last one is N, the number of voxels in all windows.
        place: (N,) number k of the round.
        rank: (N,) the window's place in `order`.
        by_window: (N,) where the voxel stands when windows are laid out one after another instead.
    """

    def __init__(self, lengths: np.ndarray) -> None:
        self.order = np.argsort(-lengths, kind="stable")
        rounds = np.arange(lengths.max())
        widths = len(lengths) - np.searchsorted(np.sort(lengths), rounds, side="right")
        self.bounds = np.concatenate([[0], np.cumsum(widths)])
        self.place = np.repeat(rounds, widths)
        self.rank = np.arange(self.bounds[-1]) - np.repeat(self.bounds[:-1], widths)
        self.by_window = (np.cumsum(lengths) - lengths)[self.order][self.rank] + self.place

    def shuffle(self, items: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Permute the items (N,) of each window uniformly, given numbers in 0..k for round k (Fisher-Yates)."""
        shuffled, partner = items.copy(), self.bounds[draws] + self.rank
        for start, end in zip(self.bounds[1:-1].tolist(), self.bounds[2:].tolist(), strict=True):
            chosen = partner[start:end]
            shuffled[start:end] = shuffled[chosen]
            shuffled[chosen] = items[start:end]
        return shuffled

    def draws(self, numbers: np.ndarray, seed: np.ndarray, max_volume: int) -> np.ndarray:
        """The number in 0..k for each voxel of round k, hashed from the window's number and k alone."""
        counters = (numbers * max_volume)[self.order][self.rank] + self.place
        return uniform_below(random_bits(counters, seed, Stream.WINDOW_PERMUTATION), self.place + 1)


def expand_windows(seed: int, shape: tuple[int, ...], windows: int, max_sides: tuple[int, ...]) -> Windows:
    """Every window and permutation that a seed stands for, to be logged or looked at."""
    key, bounds, numbers = np.array([seed]), np.array(max_sides), np.arange(windows)
    starts, sides = _place(numbers, key, np.array(shape), bounds)
    lengths = sides.prod(axis=1)
    rounds = _Rounds(lengths)
    permutations = np.empty_like(rounds.place)
    permutations[rounds.by_window] = rounds.shuffle(rounds.place, rounds.draws(numbers, key, int(bounds.prod())))
    return Windows(starts, sides, permutations, np.cumsum(lengths) - lengths)


def _offset_table(sides: np.ndarray, strides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat offsets of a window's voxels from its first one, for each distinct size, and where each window's begin."""
    codes = sides @ (sides.max() + 1) ** np.arange(len(strides))
    _, sample, size = np.unique(codes, return_index=True, return_inverse=True)
    sides = sides[sample]
    lengths = sides.prod(axis=1)
    starts = np.cumsum(lengths) - lengths
    owner = np.repeat(np.arange(len(lengths)), lengths)
    rest = np.arange(len(owner)) - starts[owner]
    offsets = np.zeros_like(rest)
    for axis in range(len(strides) - 1, -1, -1):
        rest, inner = np.divmod(rest, sides[owner, axis])
        offsets += inner * strides[axis]
    return offsets, starts[size]


def _moves(numbers: np.ndarray, key: np.ndarray, shape: np.ndarray, max_sides: np.ndarray) -> tuple[np.ndarray, ...]:
    """Flat voxels written by these windows, in order, and the flat voxels that they are read from."""
    starts, sides = _place(numbers, key, shape, max_sides)
    strides = np.append(np.cumprod(shape[:0:-1])[::-1], 1)
    rounds = _Rounds(sides.prod(axis=1))
    table, table_start = _offset_table(sides, strides)
    voxel = (starts @ strides)[rounds.order][rounds.rank]
    voxel += table[table_start[rounds.order][rounds.rank] + rounds.place]
    shuffled = rounds.shuffle(voxel, rounds.draws(numbers, key, int(max_sides.prod())))
    written, read = np.empty_like(voxel), np.empty_like(voxel)
    written[rounds.by_window], read[rounds.by_window] = voxel, shuffled
    return written, read


def _chunks(windows: int, max_volume: int) -> Iterator[np.ndarray]:
    step = int(np.clip(_VOXELS_AT_ONCE // max_volume, *_WINDOWS_AT_ONCE))
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
