"""Blocks, masks and noise against loops over voxels."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats

from medgenesis.transforms.functional import backend as dispatch
from medgenesis.transforms.functional.blocks import (
    block_mask,
    count_while,
    noise_volume,
    paint,
    place_blocks,
    whole_voxels,
)
from medgenesis.transforms.functional.random_bits import Stream, random_bits


@pytest.fixture(params=["compiled", "torch"])
def backend(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(dispatch, "_compiled", lambda: None)


@pytest.mark.parametrize("fraction", [Fraction(1, 6), Fraction(1, 3), Fraction(3, 7), Fraction(4, 7), Fraction(1, 10)])
def test_fractions_of_sides_are_those_of_whole_number_division(fraction):
    sides = np.arange(1, 3000)
    exact = sides * fraction.numerator // fraction.denominator
    np.testing.assert_array_equal(whole_voxels(sides, float(fraction)), exact)


def test_count_while():
    uniforms = np.array([[0.1, 0.2, 0.9, 0.1], [0.6, 0.1, 0.1, 0.1], [0.1, 0.2, 0.3, 0.49], [0.5, 0.0, 0.0, 0.0]])
    assert count_while(uniforms, 0.5).tolist() == [2, 0, 4, 0]
    assert count_while(uniforms, 0.0).tolist() == [0] * 4 and count_while(uniforms, 1.0).tolist() == [4] * 4
    assert count_while(np.empty((3, 0)), 0.5).tolist() == [0] * 3


def test_places_follow_the_uniform_numbers_step_by_step():
    """Each possible side, then each possible start, has an equal part of [0, 1)."""
    uniforms = np.random.default_rng(0).random((50, 3, 2, 2))
    counts = np.random.default_rng(1).integers(0, 4, 50)
    shape, low, high, margin = np.array([20, 9]), np.array([3, 2]), np.array([6, 9]), 3
    blocks = place_blocks(uniforms, counts, shape, (low, high), margin)
    for b, k, axis in itertools.product(range(50), range(3), range(2)):
        choices = range(low[axis], high[axis] + 1)
        side = choices[int(uniforms[b, k, 0, axis] * len(choices))]
        first = min(margin, (shape[axis] - side) // 2)
        starts = range(first, shape[axis] - side - first + 1)
        start = starts[int(uniforms[b, k, 1, axis] * len(starts))]
        assert blocks[b, k, :, axis].tolist() == ([start, start + side] if k < counts[b] else [start, start])
    assert blocks.dtype == np.int64


def blocks_and_shape(rank):
    shape = (9, 7, 6)[:rank]
    rng = np.random.default_rng(rank)
    ends = np.sort(rng.integers(0, np.array(shape) + 1, (4, 3, 2, rank)), axis=2)
    ends[0, 1:] = 0  # not drawn
    ends[1] = [[0] * rank, shape]  # the whole cube
    return ends, shape


def mask_by_hand(blocks, shape):
    mask = np.zeros((len(blocks), *shape), bool)
    for b, voxel in itertools.product(range(len(blocks)), np.ndindex(*shape)):
        mask[(b, *voxel)] = any((first <= voxel).all() and (voxel < end).all() for first, end in blocks[b])
    return mask


@pytest.mark.parametrize("rank", [2, 3])
def test_mask(rank):
    blocks, shape = blocks_and_shape(rank)
    for some in (blocks, blocks[:, :2], blocks[:, :1], blocks[:1], blocks[:, :0]):
        mask = block_mask(torch.from_numpy(some), shape)
        assert mask.dtype == torch.bool
        np.testing.assert_array_equal(mask.numpy(), mask_by_hand(some, shape))


def test_noise_is_the_hash_of_the_voxels_number_in_its_channels():
    seeds = [5, 2**32 - 1]
    noise = noise_volume(torch.tensor(seeds), 2, (4, 3, 5))
    assert noise.shape == (2, 2, 4, 3, 5) and noise.dtype == torch.float32
    for b, seed in enumerate(seeds):
        words = random_bits(np.arange(120), np.array([seed]), Stream.NOISE).astype(np.int64) & 0xFFFFFFFF
        np.testing.assert_array_equal(noise[b].numpy().ravel(), (words >> 8) / 2**24)
    assert stats.kstest(noise_volume(torch.tensor([1]), 1, (50, 50)).numpy().ravel(), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1000.0, 500.0)])
def test_painting_by_hand(backend, rank, inside, value_range):
    (blocks, shape), (low, high) = blocks_and_shape(rank), value_range
    seeds = np.array([0, 7, 2**31, 2**32 - 1])
    volume = torch.rand(4, 3, *shape) * (high - low) + low
    before = volume.clone()
    painted = paint(volume, blocks, seeds, inside, value_range)
    mask = mask_by_hand(blocks, shape)[:, None]
    noise = noise_volume(torch.from_numpy(seeds), 3, shape).numpy().astype(np.float64) * (high - low) + low
    noise = noise[:, :1] if inside else noise
    expected = np.where(mask if inside else ~mask, noise, volume.numpy())
    np.testing.assert_allclose(painted.numpy(), expected, rtol=0, atol=1e-7 * (high - low))
    kept = np.broadcast_to(~mask if inside else mask, volume.shape)
    np.testing.assert_array_equal(painted.numpy()[kept], volume.numpy()[kept])
    assert torch.equal(volume, before) and painted.data_ptr() != volume.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("inside", [True, False])
def test_what_is_kept_is_kept_to_the_bit_in_every_precision(backend, dtype, inside):
    blocks, shape = blocks_and_shape(3)
    volume = torch.rand(4, 2, *shape, dtype=torch.float64).to(dtype)
    painted = paint(volume, blocks, np.arange(4), inside)
    mask = torch.from_numpy(mask_by_hand(blocks, shape))[:, None].expand_as(volume)
    kept = ~mask if inside else mask
    assert painted.dtype == dtype and torch.equal(painted[kept], volume[kept])
    single = paint(volume.float(), blocks, np.arange(4), inside)
    assert torch.equal(painted[~kept], single[~kept].to(dtype))


def test_noise_stays_within_the_range_where_single_precision_rounds_beyond_it(backend):
    """In single precision the greatest noise, -2527.9 + 0.061, is rounded to above -2527.839."""
    low, high = -2527.9, -2527.839
    painted = paint(torch.zeros(1, 1, 20, 20, 20), np.zeros((1, 1, 2, 3), np.int64), np.array([3]), False, (low, high))
    assert np.float32(high - low) * np.float32(0.999) + np.float32(low) > np.float32(high)
    assert painted.min() == np.float32(low) and painted.max() == np.float32(high)
