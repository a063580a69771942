"""RandInPaint and RandOutPaint: blocks and noise against the description in words."""

import numpy as np
import pytest
import torch
from scipy import stats

from medgenesis.transforms import RandInPaint, RandOutPaint

BOTH = pytest.mark.parametrize("make", [RandInPaint, RandOutPaint])
SHAPE = (64, 50, 32)


def side_bounds(make, length):
    """Least and greatest side of a block, in whole numbers alone: no fraction is rounded."""
    return (length // 6, length // 3) if make is RandInPaint else (length - 4 * length // 7, length - 3 * length // 7)


def blocks_by_the_book(make, rng, shape, most=5):
    """Which voxels lie in a block of one painting, by loops."""
    mask, left = np.zeros(shape, bool), most
    while left > 0 and ((make is RandOutPaint and left == most) or rng.random() < 0.95):
        if make is RandInPaint:
            side = [rng.integers(s // 6, s // 3 + 1) for s in shape]
        else:
            side = [s - rng.integers(3 * s // 7, 4 * s // 7 + 1) for s in shape]
        start = [rng.integers(3, s - a - 3 + 1) for s, a in zip(shape, side, strict=True)]
        mask[tuple(slice(a, a + s) for a, s in zip(start, side, strict=True))] = True
        left -= 1
    return mask


def drawn_blocks(transform, count, shape=SHAPE, seed=1):
    """Blocks of many draws, their sides, and which of them are there at all."""
    blocks = transform.sample(np.random.RandomState(seed), (count, 1, *shape)).blocks
    sides = blocks[:, :, 1] - blocks[:, :, 0]
    return blocks, sides, sides.prod(axis=2) > 0


def boxes(blocks):
    for first, end in blocks:
        yield (slice(None), *(slice(i, j) for i, j in zip(first, end, strict=True)))


@BOTH
@pytest.mark.parametrize("shape", [(30, 24, 18), (30, 24)])
def test_blocks_and_noise_are_those_that_expand_shows(make, shape):
    """In-painting: the blocks get one noise for all channels. Out-painting: the rest gets one for each."""
    transform = make(value_range=(-2, 6))
    params = transform.sample(np.random.RandomState(0), (5, 3, *shape))
    volume = torch.rand(5, 3, *shape) * 8 - 2
    out, (mask, noise) = transform.apply(volume, params), params.expand(channels=3)
    for b in range(5):
        if make is RandInPaint:
            source, expected = noise[b, :1] * 8 - 2, volume[b].numpy().copy()
        else:
            source, expected = volume[b].numpy(), noise[b] * 8 - 2
        shown = np.zeros(shape, bool)
        for box in boxes(params.blocks[b]):
            expected[box] = source[box]
            shown[box[1:]] = True
        np.testing.assert_allclose(out[b].numpy(), expected, atol=1e-5)
        np.testing.assert_array_equal(mask[b], shown)


@BOTH
def test_first_channel_of_the_noise_is_the_same_however_many_are_shown(make):
    params = make().sample(np.random.RandomState(0), (2, 1, 12, 10, 8))
    for channels in (1, 4):
        mask, noise = params.expand(channels)
        assert mask.shape == (2, 12, 10, 8) and noise.shape == (2, channels, 12, 10, 8) and noise.dtype == np.float32
        np.testing.assert_array_equal(noise[:, 0], params.expand()[1][:, 0])


@BOTH
def test_the_share_of_voxels_in_blocks_is_that_of_the_book(make):
    shape, rng = (64, 64, 32), np.random.default_rng(0)
    book = [blocks_by_the_book(make, rng, shape).mean() for _ in range(400)]
    ours = []
    for blocks in make().sample(np.random.RandomState(0), (400, 1, *shape)).blocks:
        mask = np.zeros((1, *shape), bool)
        for box in boxes(blocks):
            mask[box] = True
        ours.append(mask.mean())
    assert stats.ks_2samp(book, ours).pvalue > 1e-3
    low, high = (0.04, 0.06) if make is RandInPaint else (0.30, 0.34)
    assert low < np.mean(ours) < high


def test_number_of_blocks():
    """In-painting asks before each of five blocks, the first included; out-painting has one, then asks."""
    go_on = 0.95 ** np.arange(6)
    for make, expected in (
        (RandInPaint, np.append(go_on[:5] * 0.05, go_on[5])),
        (RandOutPaint, np.array([0, *go_on[:4] * 0.05, go_on[4]])),
    ):
        there = drawn_blocks(make(), 8000)[2]
        counts, possible = np.bincount(there.sum(axis=1), minlength=6), expected > 0
        assert counts[~possible].sum() == 0
        assert stats.chisquare(counts[possible], 8000 * expected[possible]).pvalue > 1e-4


@BOTH
def test_one_block_as_semantic_genesis_has_it(make):
    blocks, _, there = drawn_blocks(make(blocks=1, p_continue=1.0), 500)
    assert blocks.shape == (500, 1, 2, 3) and there.all()


@BOTH
def test_sides_are_uniform_and_so_are_the_places_that_a_side_leaves(make):
    blocks, sides, there = drawn_blocks(make(), 8000)
    for axis, length in enumerate(SHAPE):
        side, start = sides[there][:, axis], blocks[:, :, 0][there][:, axis]
        low, high = side_bounds(make, length)
        assert side.min() == low and side.max() == high
        assert stats.chisquare(np.bincount(side)[low:]).pvalue > 1e-4
        assert start.min() == 3 and (start + side).max() == length - 3
        for s in (low, high):
            assert stats.chisquare(np.bincount(start[side == s], minlength=length - s - 2)[3:]).pvalue > 1e-4
    assert abs(np.corrcoef(sides[there].T) - np.eye(3)).max() < 4.5 / np.sqrt(there.sum())


@BOTH
def test_sides_of_every_length_are_those_of_whole_number_division(make):
    for length in range(21, 400, 7):
        _, sides, there = drawn_blocks(make(p_continue=1.0), 300, (length, 30))
        low, high = side_bounds(make, length)
        assert low <= sides[there][:, 0].min() and sides[there][:, 0].max() <= high


@BOTH
def test_noise_is_uniform_fresh_for_each_draw_and_for_each_channel_as_described(make):
    transform = make(p_continue=1.0).set_random_state(0)
    cube = torch.full((2, 40, 40, 40), 0.5)
    first, second = (transform(cube) for _ in range(2))
    painted = (first != 0.5).any(dim=0)
    one, other = first[:, painted].numpy()
    assert stats.kstest(one, "uniform").pvalue > 1e-4
    assert np.isin(one, second.numpy()).mean() < 0.01
    if make is RandInPaint:
        np.testing.assert_array_equal(one, other)
    else:
        assert abs(np.corrcoef(one, other)[0, 1]) < 4.5 / np.sqrt(len(one))
    neighbours = np.corrcoef(one[:-1], one[1:])[0, 1]
    assert abs(neighbours) < 4.5 / np.sqrt(len(one))


@BOTH
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (7, 5), (3, 64, 64), (17, 4, 9), (6, 14, 8)])
def test_blocks_fit_small_cubes_and_the_margin_shrinks_on_both_sides_alike(make, shape):
    blocks, sides, there = drawn_blocks(make(p_continue=1.0), 300, shape)
    assert there.all() and (blocks[:, :, 0] >= 0).all() and (blocks[:, :, 1] <= shape).all()
    margins = np.minimum(blocks[:, :, 0], np.array(shape) - blocks[:, :, 1])
    assert (margins >= np.minimum(3, (np.array(shape) - sides) // 2)).all()


@BOTH
def test_other_settings(make):
    share = {"side_fraction" if make is RandInPaint else "removed_fraction": (0.5, 0.5)}
    blocks, sides, there = drawn_blocks(make(blocks=2, p_continue=1.0, margin=0, **share), 4000, (40, 31))
    assert there.sum(axis=1).tolist() == [2] * 4000
    assert set(sides[..., 0].ravel()) == {20} and set(sides[..., 1].ravel()) == {15 if make is RandInPaint else 16}
    starts = blocks[:, :, 0, 0].ravel()
    assert stats.chisquare(np.bincount(starts, minlength=21)).pvalue > 1e-4


def test_a_cube_of_one_voxel_is_kept_by_out_painting():
    volume = torch.full((3, 1, 1, 1), 0.25)
    assert torch.equal(RandOutPaint()(volume), volume)
