"""Local shuffling against loops over windows, and its distribution against the description in words."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

from medgenesis.transforms.functional.windows import expand_windows, gather_voxels, shuffle_sources

SHAPES = [
    ((64, 64, 32), (6, 6, 3)),
    ((17, 9, 3), (1, 1, 1)),
    ((40, 23), (4, 2)),
    ((1, 1, 1), (1, 1, 1)),
    ((8, 7), (8, 7)),
]


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


@pytest.mark.parametrize("shape, max_sides", SHAPES)
@pytest.mark.parametrize("seed", [0, 77])
def test_sources_equal_a_loop_over_the_same_windows_and_permutations(shape, max_sides, seed):
    cube = np.arange(np.prod(shape)).reshape(shape)
    windows = expand_windows(seed, shape, 10_000, max_sides)  # several chunks of the vectorised version
    expected = write_in_turn(cube, windows)
    np.testing.assert_array_equal(shuffle_sources(seed, shape, 10_000, max_sides).reshape(shape), expected)


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
    ours = np.array([moments(shuffle_sources(seed, shape, 10_000, (6, 6, 3)), shape) for seed in range(30)])
    spread = ours.std(axis=0, ddof=1)  # of one cube; the means of 4 and 30 differ by spread * sqrt(1/4 + 1/30) = 0.53
    np.testing.assert_array_less(np.abs(ours.mean(axis=0) - book.mean(axis=0)), 0.53 * 4.5 * spread)
    assert abs(ours[:, 0].mean() - 0.786) < 0.005  # about 79 % of the voxels, as published


def test_voxels_are_gathered_alike_in_all_channels():
    volume = torch.rand(2, 3, 5, 4)
    sources = torch.stack([torch.randperm(20), torch.randperm(20)])
    out = gather_voxels(volume, sources)
    for b, c in itertools.product(range(2), range(3)):
        torch.testing.assert_close(out[b, c].flatten(), volume[b, c].flatten()[sources[b]])
