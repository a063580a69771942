"""RandInPaint: blocks and noise against the description in words."""

import numpy as np
import pytest
import torch
from scipy import stats

from medgenesis.transforms import RandInPaint


def replaced_by_the_book(rng, shape):
    """Which voxels one in-painting replaces, by loops."""
    mask, left = np.zeros(shape, bool), 5
    while left > 0 and rng.random() < 0.95:
        side = [rng.integers(s // 6, s // 3 + 1) for s in shape]
        start = [rng.integers(3, s - a - 3 + 1) for s, a in zip(shape, side, strict=True)]
        mask[tuple(slice(a, a + s) for a, s in zip(start, side, strict=True))] = True
        left -= 1
    return mask


def test_blocks_are_filled_with_the_noise_that_expand_shows_and_nothing_else_changes():
    transform = RandInPaint(value_range=(-2, 6))
    params = transform.sample(np.random.RandomState(0), (5, 3, 30, 24, 18))
    volume = torch.rand(5, 3, 30, 24, 18) * 8 - 2
    out = transform.apply(volume, params)
    mask, noise = params.expand()
    for b in range(5):
        expected = volume[b].clone().numpy()
        for first, end in params.blocks[b]:
            box = (slice(None), *(slice(i, j) for i, j in zip(first, end, strict=True)))
            expected[box] = noise[b][box] * 8 - 2  # one channel of noise for all
        np.testing.assert_allclose(out[b].numpy(), expected, atol=1e-5)
        assert ((out[b, 0] != volume[b, 0]).numpy() == mask[b]).mean() > 0.999


def test_five_percent_are_replaced_as_by_the_book():
    shape, rng = (64, 64, 32), np.random.default_rng(0)
    book = [replaced_by_the_book(rng, shape).mean() for _ in range(600)]
    ours = RandInPaint().sample(np.random.RandomState(0), (600, 1, *shape)).expand()[0].mean(axis=(1, 2, 3))
    assert stats.ks_2samp(book, ours).pvalue > 1e-3
    assert 0.04 < ours.mean() < 0.06


def test_number_of_blocks_sides_and_places():
    blocks = RandInPaint().sample(np.random.RandomState(1), (8000, 1, 64, 50, 32)).blocks
    sides = blocks[:, :, 1] - blocks[:, :, 0]
    counts = np.bincount((sides.prod(axis=2) > 0).sum(axis=1), minlength=6)
    go_on = 0.95 ** np.arange(6)
    assert stats.chisquare(counts, 8000 * np.append(go_on[:5] * 0.05, go_on[5])).pvalue > 1e-4
    drawn = sides.prod(axis=2) > 0
    for axis, length in enumerate((64, 50, 32)):
        side, start = sides[drawn][:, axis], blocks[:, :, 0][drawn][:, axis]
        low, high = length // 6, length // 3
        assert side.min() == low and side.max() == high
        assert stats.chisquare(np.bincount(side)[low:]).pvalue > 1e-4
        assert start.min() == 3 and (start + side).max() == length - 3
        for s in (low, high):
            assert stats.chisquare(np.bincount(start[side == s], minlength=length - s - 2)[3:]).pvalue > 1e-4


def test_noise_is_uniform_and_fresh_for_each_draw():
    transform = RandInPaint(p_continue=1.0).set_random_state(0)
    cube = torch.full((1, 40, 40, 40), 0.5)
    first, second = (transform(cube) for _ in range(2))
    values = [out[out != 0.5].numpy() for out in (first, second)]
    assert all(stats.kstest(v, "uniform").pvalue > 1e-4 for v in values)
    assert not np.isin(values[0], values[1]).mean() > 0.01


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (7, 5), (3, 64, 64), (17, 4, 9)])
def test_blocks_fit_small_cubes(shape):
    blocks = RandInPaint(p_continue=1.0).sample(np.random.RandomState(0), (300, 1, *shape)).blocks
    assert (blocks[:, :, 0] >= 0).all() and (blocks[:, :, 1] <= shape).all() and (np.diff(blocks, axis=2) >= 1).all()
    margins = np.minimum(blocks[:, :, 0], np.array(shape) - blocks[:, :, 1])
    assert (margins >= np.minimum(3, (np.array(shape) - np.diff(blocks, axis=2)[:, :, 0]) // 2)).all()
