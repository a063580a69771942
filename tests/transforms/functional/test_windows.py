"""Local shuffling against loops over windows, and its distribution against the description in words."""

import itertools
import math
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from medgenesis.transforms.functional import windows as windows_module
from medgenesis.transforms.functional.random_bits import Stream
from medgenesis.transforms.functional.windows import expand_windows, gather_voxels, shuffle_sources, shuffle_voxels

CASES = [  # shape, windows, max_sides
    ((64, 64, 32), 10_000, (6, 6, 3)),  # several chunks
    ((17, 9, 3), 10_000, (1, 1, 1)),
    ((40, 23), 10_000, (4, 2)),
    ((1, 1, 1), 10_000, (1, 1, 1)),
    ((8, 7), 10_000, (8, 7)),
    ((30, 31, 20), 12, (30, 31, 20)),  # a window may be larger than a chunk
]
KINDS = {"numpy": np.array, "torch": torch.tensor}


def write_in_turn(cube, windows):
    """Apply given windows and permutations one after another: each reads the original, later ones overwrite."""
    out = cube.copy()
    for start, side, offset in zip(windows.starts, windows.sides, windows.offsets, strict=True):
        box = tuple(slice(a, a + s) for a, s in zip(start, side, strict=True))
        order = windows.permutations[offset : offset + side.prod()]
        out[box] = cube[box].reshape(-1)[order].reshape(side)
    return out


def shuffle_by_the_book(rng, cube, windows=10_000):
    """The method as described, drawn with an ordinary generator."""
    out = cube.copy()
    for _ in range(windows):
        side = [rng.integers(1, s // 10 + 1) for s in cube.shape]
        start = [rng.integers(0, s - a + 1) for s, a in zip(cube.shape, side, strict=True)]
        box = tuple(slice(a, a + s) for a, s in zip(start, side, strict=True))
        out[box] = rng.permutation(cube[box].reshape(-1)).reshape(side)
    return out


def hashed_below(counter, seed, stream, bound):
    """A number in 0 .. bound - 1 from `random_bits`' description, in Python's own integers."""

    def mix(word):
        word = (word ^ word >> 16) * 0x7FEB352D % 2**32
        word = (word ^ word >> 15) * 0x846CA68B % 2**32
        return word ^ word >> 16

    key = mix((seed + stream * 0x9E3779B9) % 2**32)
    return mix((mix(counter % 2**32 ^ key) + mix(~key % 2**32)) % 2**32) * bound >> 32


def window_by_hand(number, seed, shape, max_sides, sides=None):
    """Start, sides and permutation of one window as `Windows` and the compiled code define them."""
    counters = [number * len(shape) + axis for axis in range(len(shape))]
    sides = sides or [
        1 + hashed_below(c, seed, Stream.WINDOW_SIDE, most) for c, most in zip(counters, max_sides, strict=True)
    ]
    start = [
        hashed_below(c, seed, Stream.WINDOW_START, whole - side + 1)
        for c, whole, side in zip(counters, shape, sides, strict=True)
    ]
    order = []
    for k in range(math.prod(sides)):
        drawn = hashed_below(number * math.prod(max_sides) + k, seed, Stream.WINDOW_PERMUTATION, k + 1)
        order.append(k)
        order[k] = order[drawn]
        order[drawn] = k
    return start, sides, order


@pytest.mark.parametrize("shape, max_sides", [((64, 64, 32), (6, 6, 3)), ((40, 23), (4, 5)), ((30, 2, 9), (30, 1, 9))])
@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_windows_are_hashed_as_defined(shape, max_sides, seed):
    windows = expand_windows(seed, shape, 300, max_sides)
    for number in (0, 1, 2, 150, 298, 299):
        start, sides, order = window_by_hand(number, seed, shape, max_sides)
        assert (windows.starts[number] == start).all() and (windows.sides[number] == sides).all()
        first = windows.offsets[number]
        assert windows.permutations[first : first + len(order)].tolist() == order


def test_counters_beyond_32_bits_wrap(monkeypatch):
    sides = np.full((2, 5000), 2)  # small windows where large ones were allowed, else the test would take minutes
    monkeypatch.setattr(windows_module, "_place", lambda *_: (np.zeros_like(sides), sides))
    windows = expand_windows(9, (2**11, 2**11), 5000, (2**10, 2**10))
    for number in (0, 2047, 2048, 4095, 4096, 4999):
        order = window_by_hand(number, 9, (2**11, 2**11), (2**10, 2**10), [2, 2])[2]
        assert windows.permutations[4 * number : 4 * number + 4].tolist() == order


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape, windows, max_sides", CASES)
def test_sources_equal_a_loop_over_the_same_windows_and_permutations(shape, windows, max_sides, kind):
    seeds = [0, 77, 2**32 - 1]
    cube = np.arange(math.prod(shape)).reshape(shape)
    sources = shuffle_sources(KINDS[kind](seeds), shape, windows, max_sides)
    for seed, found in zip(seeds, sources, strict=True):
        expected = write_in_turn(cube, expand_windows(seed, shape, windows, max_sides))
        np.testing.assert_array_equal(found.reshape(shape).numpy(), expected)
    alone = shuffle_sources(KINDS[kind](seeds[1:2]), shape, windows, max_sides)
    assert torch.equal(alone[0], sources[1])


@pytest.mark.gpu
@pytest.mark.parametrize("shape, windows, max_sides", CASES)
def test_sources_on_a_gpu_are_those_on_the_processor(shape, windows, max_sides):
    seeds = torch.tensor([3, 2**31])
    found = shuffle_sources(seeds.cuda(), shape, windows, max_sides)
    assert torch.equal(found.cpu(), shuffle_sources(seeds.numpy(), shape, windows, max_sides))


def numpys_peak(call):
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def torchs_peak(call):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    changes = [event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(itertools.accumulate(changes))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape, max_sides", [((64, 64, 32), (6, 6, 3)), ((96, 96, 96), (9, 9, 9))])
def test_temporary_memory_stays_within_six_times_the_batch(shape, max_sides, kind):
    seeds, batch = KINDS[kind](range(4)), 4 * math.prod(shape) * 4

    def call():
        return shuffle_sources(seeds, shape, 10_000, max_sides)

    assert numpys_peak(call) + torchs_peak(call) <= 6 * batch


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape, max_sides", [((12, 10, 9), (3, 4, 2)), ((20, 30), (5, 3))])
@pytest.mark.parametrize("compiled", [True, False])
def test_voxels_are_those_of_the_loop_in_all_channels_with_and_without_compiled_code(
    shape, max_sides, dtype, compiled, monkeypatch
):
    if not compiled:
        monkeypatch.setattr(windows_module, "compiled_for", lambda volume: None)
    volume = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = volume.clone()
    out = shuffle_voxels(volume, np.array([5, 2**32 - 1]), 200, max_sides)
    assert torch.equal(volume, before) and out.dtype == dtype
    for cube, shuffled, seed in zip(volume, out, (5, 2**32 - 1), strict=True):
        for channel, expected in zip(shuffled.double(), cube.double(), strict=True):
            np.testing.assert_array_equal(
                channel, write_in_turn(expected.numpy(), expand_windows(seed, shape, 200, max_sides))
            )


@pytest.mark.gpu
def test_voxels_on_a_gpu_are_those_on_the_processor():
    volume, seeds = torch.rand(3, 2, 40, 30, 20), np.array([1, 2, 2**32 - 1])
    out = shuffle_voxels(volume.cuda(), seeds, 1000, (4, 3, 2))
    assert torch.equal(out.cpu(), shuffle_voxels(volume, seeds, 1000, (4, 3, 2)))


def test_every_permutation_is_one_and_every_window_fits():
    windows = expand_windows(3, (64, 30, 32), 2000, (6, 3, 3))
    assert (windows.starts >= 0).all() and (windows.starts + windows.sides <= (64, 30, 32)).all()
    for offset, length in zip(windows.offsets, windows.sides.prod(axis=1), strict=True):
        assert sorted(windows.permutations[offset : offset + length]) == list(range(length))


@pytest.mark.parametrize("axis, side, greatest", [(0, 64, 6), (1, 50, 5), (2, 32, 3)])
def test_sides_and_places_are_uniform(axis, side, greatest):
    many = [expand_windows(seed, (64, 50, 32), 10_000, (6, 5, 3)) for seed in range(5)]
    sides = np.concatenate([w.sides[:, axis] for w in many])
    starts = np.concatenate([w.starts[:, axis] for w in many])
    assert stats.chisquare(np.bincount(sides, minlength=greatest + 1)[1:]).pvalue > 1e-4
    for s in range(1, greatest + 1):
        places = np.bincount(starts[sides == s], minlength=side - s + 1)
        assert len(places) == side - s + 1 and stats.chisquare(places).pvalue > 1e-5


def test_all_orders_of_a_small_window_are_equally_likely():
    counts = Counter()
    for seed in range(4):
        windows = expand_windows(seed, (20, 20), 10_000, (2, 2))
        for offset in windows.offsets[windows.sides.prod(axis=1) == 4]:
            counts[tuple(windows.permutations[offset : offset + 4].tolist())] += 1
    assert set(counts) == set(itertools.permutations(range(4)))
    assert stats.chisquare(list(counts.values())).pvalue > 1e-4


def test_each_voxel_of_a_large_window_goes_everywhere_alike():
    """Position-to-position counts of 27-voxel windows; a shuffle that favours neighbours or fixed points fails."""
    table = np.zeros((27, 27))
    for seed in range(6):
        windows = expand_windows(seed, (30, 30, 30), 10_000, (3, 3, 3))
        for offset in windows.offsets[windows.sides.prod(axis=1) == 27]:
            table[np.arange(27), windows.permutations[offset : offset + 27]] += 1
    expected = table.sum() / table.size
    statistic = ((table - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(statistic, 26 * 26) > 1e-4  # rows and columns have fixed sums


def moments(cube_of_indices, shape):
    there = np.stack(np.unravel_index(cube_of_indices.reshape(-1), shape), axis=-1)
    moved = np.abs(there - np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=-1))
    changed = (moved.sum(axis=1) > 0).mean()
    kept = len(np.unique(cube_of_indices)) / cube_of_indices.size
    return [changed, kept, *moved.mean(axis=0), (moved[:, 0] >= 3).mean(), (moved[:, 0] * moved[:, 1]).mean()]


def test_what_is_moved_and_how_far_agrees_with_the_method_by_the_book():
    shape = (64, 64, 32)
    rng = np.random.default_rng(0)
    cube = np.arange(np.prod(shape)).reshape(shape)
    book = np.array([moments(shuffle_by_the_book(rng, cube), shape) for _ in range(4)])
    sources = shuffle_sources(np.arange(30), shape, 10_000, (6, 6, 3)).numpy()
    ours = np.array([moments(cube, shape) for cube in sources])
    spread = ours.std(axis=0, ddof=1)  # of one cube; the means of 4 and 30 differ by spread * sqrt(1/4 + 1/30) = 0.53
    np.testing.assert_array_less(np.abs(ours.mean(axis=0) - book.mean(axis=0)), 0.53 * 4.5 * spread)
    assert abs(ours[:, 0].mean() - 0.786) < 0.005  # about 79 % of the voxels, as published


def test_voxels_are_gathered_alike_in_all_channels():
    volume = torch.rand(2, 3, 5, 4)
    sources = torch.stack([torch.randperm(20), torch.randperm(20)])
    out = gather_voxels(volume, sources)
    for b, c in itertools.product(range(2), range(3)):
        torch.testing.assert_close(out[b, c].flatten(), volume[b, c].flatten()[sources[b]])
