"""Local shuffling: which voxel each voxel comes from, when many small windows are permuted one after another.

What works on arrays here takes NumPy's and torch's alike, from the seeds on. On the processor NumPy does it, in half of
torch's time; tensors stay on their device.
"""

import functools
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch

from medgenesis.transforms.functional.backend import as_float, compiled_for
from medgenesis.transforms.functional.random_bits import Stream, Words, random_bits, uniform_below

_logger = logging.getLogger(__name__)

# How many voxels of windows are shuffled at once: as many as the processor's cache holds, or, if that is more, a share
# of the cube's voxels, on a device of the batch's. It keeps temporary memory within 6 times the batch.
_AT_ONCE = 50_000
_SHARE_AT_ONCE = 1 / 8
_LARGEST_TRACED = 2**13  # voxels of a window; Triton's kernel takes so many steps for each voxel


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of one cube, in the order in which they are written.

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


def _beside(values: np.ndarray, array: Words) -> Words:
    """The values as what `array` is, and where it is."""
    return torch.from_numpy(values).to(array.device) if isinstance(array, torch.Tensor) else values


def _place(seeds: Words, shape: tuple[int, ...], windows: int, max_sides: tuple[int, ...]) -> tuple[Words, Words]:
    """Starts and sides of all windows, cube after cube, both (n, B * windows)."""
    rank = len(shape)
    counters = np.arange(windows, dtype=np.int32) * rank + np.arange(rank, dtype=np.int32)[:, None, None]
    counters, seeds = _beside(counters, seeds), seeds[:, None]
    greatest, space = (_beside(np.array(sides)[:, None, None], seeds) for sides in (max_sides, shape))
    sides = uniform_below(random_bits(counters, seeds, Stream.WINDOW_SIDE), greatest) + 1
    starts = uniform_below(random_bits(counters, seeds, Stream.WINDOW_START), space - sides + 1)
    return starts.reshape(rank, -1), sides.reshape(rank, -1)


class _Rounds:
    """The voxels of some windows laid out for shuffling them all in step, and what is drawn for that.

    Round k holds the k-th voxel of every window that has one. Windows stand longest first, so that the windows of a
    round are the first ones of the round before.

    Args:
        lengths: (W,) voxels of each window, falling.
        counters: (W,) int32, the first counter of each window's draws.
        seeds: what they are hashed with, (W,), or (1,) for all.

    Attributes:
        number: (N,) which voxel of its window each voxel is.
    """

    def __init__(self, lengths: np.ndarray, counters: Words, seeds: Words) -> None:
        numbers = np.arange(lengths[0])
        widths = np.searchsorted(-lengths, -numbers)
        self._widths = widths.tolist()
        repeat = torch.repeat_interleave if isinstance(seeds, torch.Tensor) else np.repeat
        self.number = repeat(_beside(numbers, seeds), _beside(widths, seeds))
        seeds = seeds if len(seeds) == 1 else self.spread(seeds)
        words = random_bits(self.spread(counters) + self.number, seeds, Stream.WINDOW_PERMUTATION)
        first = _beside(np.cumsum(widths) - widths, seeds)
        self._partner = first.take(uniform_below(words, self.number + 1))
        self._partner += self.spread(_beside(np.arange(len(lengths)), seeds))

    def spread(self, values: Words) -> Words:
        """One value a window (W,) for each voxel (N,)."""
        concatenate = torch.cat if isinstance(values, torch.Tensor) else np.concatenate
        return concatenate([values[:width] for width in self._widths])

    def shuffle(self, items: Words) -> Words:
        """Permute the items (N,) of each window by Fisher and Yates' shuffle, "inside-out"."""
        shuffled, start = (torch if isinstance(items, torch.Tensor) else np).empty_like(items), 0
        for width in self._widths:
            here = slice(start, start + width)
            chosen = self._partner[here]
            shuffled[here] = shuffled[chosen]  # where a voxel chose itself, this reads nothing yet, but the next does
            shuffled[chosen] = items[here]
            start += width
        return shuffled


def _in_chunks(
    lengths: Words, seeds: Words, windows: int, max_volume: int, at_once: int
) -> Iterator[tuple[Words, _Rounds]]:
    """All windows, longest first and some at a time: which they are, and their rounds."""
    order = (-lengths).argsort()
    falling = torch.as_tensor(lengths[order]).cpu().numpy()
    ends, start = np.cumsum(falling), 0
    counters = _beside(np.tile(np.arange(windows, dtype=np.int32) * np.int32(max_volume), len(seeds)), seeds)
    while start < len(falling):
        most = ends[start] - falling[start] + at_once
        stop = max(start + 1, int(np.searchsorted(ends, most, side="right")))
        chosen = order[start:stop]
        own = seeds if len(seeds) == 1 else seeds[chosen // windows]
        yield chosen, _Rounds(falling[start:stop], counters[chosen], own)
        start = stop


def expand_windows(seed: int, shape: tuple[int, ...], windows: int, max_sides: tuple[int, ...]) -> Windows:
    """Every window and permutation that a seed stands for, to be logged or looked at."""
    seeds = np.array([seed])
    starts, sides = _place(seeds, shape, windows, max_sides)
    lengths = math.prod(sides)
    offsets = np.cumsum(lengths) - lengths
    permutations = np.empty(lengths.sum(), np.int64)
    for chosen, rounds in _in_chunks(lengths, seeds, windows, math.prod(max_sides), _AT_ONCE):
        permutations[rounds.spread(offsets[chosen]) + rounds.number] = rounds.shuffle(rounds.number)
    return Windows(starts.T, sides.T, permutations, offsets)


def _distances(numbers: Words, sides: Words, strides: list[int]) -> Words:
    """How far voxels lie in the flat cube from the first voxel of their window, given their numbers in it."""
    distances, inner = numbers, 1
    for axis in range(len(strides) - 1, 0, -1):
        inner = inner * sides[axis]
        distances = distances + numbers // inner * (strides[axis - 1] - sides[axis] * strides[axis])
    return distances


def _distance_finder(
    sides: Words, strides: list[int], max_sides: tuple[int, ...], largest: int
) -> Callable[[Words, _Rounds], Words]:
    """What finds the distances of some windows' voxels, given the sides (n, W) of all windows.

    Divisions are slow, so they are made for a table if that has no more than `largest` entries.
    """
    inner, volume = max_sides[1:], math.prod(max_sides)  # the first side makes no difference
    if math.prod(inner) * volume > largest:
        return lambda chosen, rounds: _distances(rounds.number, [rounds.spread(s[chosen]) for s in sides], strides)
    every = np.indices((1, *inner)).reshape(len(strides), -1, 1) + 1
    table = _beside(_distances(np.arange(volume), every, strides).reshape(-1), sides)
    row = 0
    for side, greatest in zip(sides[1:], inner, strict=True):
        row = row * greatest + (side - 1)
    entry = row * volume
    return lambda chosen, rounds: table.take(rounds.spread(entry[chosen]) + rounds.number)


def shuffle_sources(seeds: Words, shape: tuple[int, ...], windows: int, max_sides: tuple[int, ...]) -> torch.Tensor:
    """For each voxel the voxel it is read from, after all windows of each cube were written in turn.

    Each window reads the ORIGINAL cube and permutes its voxels uniformly; where windows overlap the last one wins.

    Args:
        seeds: (B,) integers that the windows are hashed from; a tensor has the work done on its device.
        shape: the cubes' spatial sides, voxels.
        windows: how many a cube.
        max_sides: a window's side is uniform on 1..max_sides, its place uniform where it fits.

    Returns:
        (B, V) int64, flat indices (C order), beside the seeds.
    """
    batch, voxels, volume = len(seeds), math.prod(shape), math.prod(max_sides)
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    at_once = max(_AT_ONCE, int(voxels * _SHARE_AT_ONCE * (batch if isinstance(seeds, torch.Tensor) else 1)))
    starts, sides = _place(seeds, shape, windows, max_sides)
    distances = _distance_finder(sides, strides, max_sides, at_once)
    # A move is one integer: the window's number (from 1) in the high bits, the voxel read from in the low ones. The
    # greatest move to a voxel is that of the last window, in whatever order they come.
    bits = (batch * voxels).bit_length()
    first = _beside((np.arange(1, windows + 1) << bits) + np.arange(batch)[:, None] * voxels, seeds).reshape(-1)
    first = first + sum(start * stride for start, stride in zip(starts, strides, strict=True))
    lengths = math.prod(sides)
    del starts, sides
    moves = torch.arange(batch * voxels, device=torch.as_tensor(seeds).device)
    for chosen, rounds in _in_chunks(lengths, seeds, windows, volume, at_once):
        items = rounds.spread(first[chosen])
        items += distances(chosen, rounds)
        read = rounds.shuffle(items)
        items &= (1 << bits) - 1
        moves.scatter_reduce_(0, torch.as_tensor(items), torch.as_tensor(read), "amax")
    moves &= (1 << bits) - 1
    sources = moves.view(batch, voxels)
    sources -= torch.arange(batch, device=sources.device)[:, None] * voxels
    return sources


def gather_voxels(volume: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Read each voxel from another place, the same for all channels.

    Args:
        volume: (B, C, *spatial).
        sources: (B, V) int64, flat spatial indices.
    """
    flat = volume.flatten(2)
    return flat.gather(2, sources[:, None].expand(-1, flat.shape[1], -1)).reshape(volume.shape)


@functools.cache
def _source_finder(device: torch.device) -> Callable[..., torch.Tensor]:
    """What finds the sources on a device: Triton's kernels where they work there, or else `shuffle_sources`."""
    if device.type == "cuda":
        try:
            from medgenesis.transforms.functional.backends.triton import shuffle as triton_shuffle

            trial = torch.arange(2, device=device), (9, 8, 7), 50, (3, 4, 2)
            if not torch.equal(triton_shuffle.shuffle_sources(*trial), shuffle_sources(*trial)):
                raise RuntimeError("its result differs from that of torch")
        except Exception as error:  # whatever a compiler and a driver may raise: a slower transform stops no training
            _logger.warning("local shuffling on %s runs in torch, slower, because Triton failed: %s", device, error)
        else:
            return triton_shuffle.shuffle_sources
    return shuffle_sources


def _shuffle_compiled(
    kernels: ModuleType, volume: torch.Tensor, seeds: np.ndarray, windows: int, max_sides: tuple[int, ...]
) -> torch.Tensor:
    shape = tuple(volume.shape[2:])
    flat = (1,) * (3 - len(shape))
    cubes = as_float(volume).flatten(2).numpy()
    shuffled = np.empty_like(cubes)
    for cube, out, seed in zip(cubes, shuffled, seeds.tolist(), strict=True):
        kernels.shuffle(cube, out, seed, (*flat, *shape), len(shape), windows, (*flat, *max_sides))
    return torch.from_numpy(shuffled).view(volume.shape).to(volume.dtype)


@torch.no_grad()
def shuffle_voxels(volume: torch.Tensor, seeds: np.ndarray, windows: int, max_sides: tuple[int, ...]) -> torch.Tensor:
    """Shuffle the voxels of many small windows, written one after another; all channels alike.

    Args:
        volume: (B, C, *spatial), floating point.
        seeds: (B,) int64, what each cube's windows are hashed from.
        windows: how many a cube.
        max_sides: a window's side is uniform on 1..max_sides, its place uniform where it fits, voxels.

    Returns:
        A new tensor like `volume`.
    """
    if (kernels := compiled_for(volume)) is not None:
        return _shuffle_compiled(kernels, volume, seeds, windows, max_sides)
    if volume.device.type != "cpu":
        seeds = torch.from_numpy(seeds).to(volume.device)
    traced = math.prod(max_sides) <= _LARGEST_TRACED
    find_sources = _source_finder(volume.device) if traced else shuffle_sources
    return gather_voxels(volume, find_sources(seeds, tuple(volume.shape[2:]), windows, max_sides))
