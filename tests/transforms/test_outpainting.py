"""RandOutPaint: blocks and noise against the description in words."""

import numpy as np
import pytest
import torch
from scipy import stats

from medgenesis.transforms import RandOutPaint


def kept_by_the_book(rng, shape):
    """Which voxels one out-painting keeps, by loops."""
    mask, left = np.zeros(shape, bool), 5
    while left == 5 or (left > 0 and rng.random() < 0.95):
        side = [s - rng.integers(3 * s // 7, 4 * s // 7 + 1) for s in shape]
        start = [rng.integers(3, s - a - 3 + 1) for s, a in zip(shape, side, strict=True)]
        mask[tuple(slice(a, a + s) for a, s in zip(start, side, strict=True))] = True
        left -= 1
    return mask


def test_blocks_keep_the_volume_and_the_rest_is_the_noise_that_expand_shows():
    transform = RandOutPaint(value_range=(-2, 6))
    params = transform.sample(np.random.RandomState(0), (5, 2, 30, 24, 18))
    volume = torch.rand(5, 2, 30, 24, 18) * 8 - 2
    out = transform.apply(volume, params)
    noise = params.expand(channels=2)[1]
    for b in range(5):
        expected = noise[b] * 8 - 2
        for first, end in params.blocks[b]:
            box = (slice(None), *(slice(i, j) for i, j in zip(first, end, strict=True)))
            expected[box] = volume[b].numpy()[box]
        np.testing.assert_allclose(out[b].numpy(), expected, atol=1e-5)


def test_a_third_is_kept_as_by_the_book():
    shape, rng = (64, 64, 32), np.random.default_rng(0)
    book = [kept_by_the_book(rng, shape).mean() for _ in range(400)]
    params = RandOutPaint().sample(np.random.RandomState(0), (400, 1, *shape))
    ours = [params.select(np.array([b])).expand()[0].mean() for b in range(400)]
    assert stats.ks_2samp(book, ours).pvalue > 1e-3
    assert 0.30 < np.mean(ours) < 0.34


def test_number_of_blocks_sides_and_places():
    blocks = RandOutPaint().sample(np.random.RandomState(1), (8000, 1, 64, 50, 32)).blocks
    sides = blocks[:, :, 1] - blocks[:, :, 0]
    drawn = sides.prod(axis=2) > 0
    counts = np.bincount(drawn.sum(axis=1), minlength=6)
    go_on = 0.95 ** np.arange(5)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:], 8000 * np.append(go_on[:4] * 0.05, go_on[4])).pvalue > 1e-4
    for axis, length in enumerate((64, 50, 32)):
        side, start = sides[drawn][:, axis], blocks[:, :, 0][drawn][:, axis]
        low, high = length - 4 * length // 7, length - 3 * length // 7
        assert side.min() == low and side.max() == high
        assert stats.chisquare(np.bincount(side)[low:]).pvalue > 1e-4
        assert start.min() == 3 and (start + side).max() == length - 3
        for s in (low, high):
            assert stats.chisquare(np.bincount(start[side == s], minlength=length - s - 2)[3:]).pvalue > 1e-4


def test_noise_is_uniform_and_independent_between_channels():
    out = RandOutPaint().set_random_state(0)(torch.full((2, 40, 40, 40), 0.5))
    outside = (out != 0.5).all(dim=0)
    first, second = out[:, outside].numpy()
    assert stats.kstest(first, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(first, second)[0, 1]) < 4.5 / np.sqrt(len(first))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (7, 5), (3, 64, 64), (17, 4, 13)])
def test_blocks_fit_small_cubes(shape):
    blocks = RandOutPaint(p_continue=1.0).sample(np.random.RandomState(0), (300, 1, *shape)).blocks
    assert (blocks[:, :, 0] >= 0).all() and (blocks[:, :, 1] <= shape).all() and (np.diff(blocks, axis=2) >= 1).all()
