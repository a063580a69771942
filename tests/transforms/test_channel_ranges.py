"""Ranges of channels: z-scored data are corrupted within their own extent, and stay on their own scale."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.errors import VolumeError
from medgenesis.transforms import BatchedGenesis, RandGenesis, RandGenesisd

SHAPE = (2, 2, 12, 12, 10)
RANGES = (None, (-1.0, 4.0))


def z_scored(seed):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["models", "semantic"]))
def test_it_is_the_corruption_of_each_channel_scaled_to_0_to_1_and_scaled_back(seed, preset):
    volume = z_scored(seed)
    transform = RandGenesis(preset, channel_ranges=RANGES)
    params = transform.sample(np.random.default_rng(seed), SHAPE)
    corrupted, target = transform.apply(volume, params)
    for cube in range(2):
        for channel, given_range in enumerate(RANGES):
            own = volume[cube, channel]
            percentiles = np.percentile(own, (0.5, 99.5), method="nearest")
            low, high = percentiles.tolist() if given_range is None else given_range
            scaled = volume.clone()
            scaled[cube, channel] = (own - low) / (high - low)
            expected, _ = RandGenesis(preset).apply(scaled.clamp(0, 1), params)
            assert torch.allclose(corrupted[cube, channel], expected[cube, channel] * (high - low) + low, atol=1e-3)
            assert torch.equal(target[cube, channel], volume[cube, channel].flip(flipped(params, cube)))
            assert low - 1e-4 <= corrupted[cube, channel].min() and corrupted[cube, channel].max() <= high + 1e-4


def flipped(params, cube):
    return [axis for axis, reverse in enumerate(params.flips[cube]) if reverse]


def test_all_three_forms_take_ranges_and_agree():
    volume = z_scored(1)[:1]
    array = RandGenesis(channel_ranges=RANGES).set_random_state(3)(volume[0])
    named = RandGenesisd(channel_ranges=RANGES).set_random_state(3)({"image": volume[0]})
    batched = BatchedGenesis(channel_ranges=RANGES).set_random_state(3)(volume)
    for first, second, third in zip(array, (named["image"], named["target"]), batched, strict=True):
        assert torch.equal(torch.as_tensor(first), torch.as_tensor(second))
        assert torch.equal(torch.as_tensor(first), third[0])


def test_a_constant_cube_is_no_error():
    corrupted, target = RandGenesis(channel_ranges=[None]).set_random_state(0)(torch.full((1, 8, 8, 8), -3.0))
    assert torch.isfinite(torch.as_tensor(corrupted)).all() and (torch.as_tensor(target) == -3).all()


def test_ranges_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="channel_ranges: must be one a channel, and the only range"):
        RandGenesis(channel_ranges=[None], rescale=True)
    with pytest.raises(ValueError, match="channel_ranges: must be one a channel, and the only range"):
        RandGenesis(channel_ranges=[None], value_range=(0, 2))
    with pytest.raises(ValueError, match="low < high"):
        RandGenesis(channel_ranges=[(2, 1)])
    with pytest.raises(VolumeError, match="must be one a channel, 2; found 1"):
        RandGenesis(channel_ranges=[None])(z_scored(0)[0])


@pytest.mark.parametrize("dtype, rounding", [(torch.float16, 32.0), (torch.bfloat16, 256.0)])
def test_halves_are_those_of_single_precision_rounded(dtype, rounding):
    """Values from -60000 to 60000: their width is beyond the greatest half."""
    volume = (torch.rand(1, 12, 12, 12, generator=torch.Generator().manual_seed(0)) * 120000 - 60000).to(dtype)
    for ranges in ([None], [(-50000.0, 60000.0)]):
        for seed in range(4):
            make = RandGenesis(channel_ranges=ranges)
            expected, whole = make.set_random_state(seed)(volume.float())
            corrupted, target = make.set_random_state(seed)(volume)
            assert corrupted.dtype == target.dtype == dtype and torch.equal(target.float(), whole)
            assert torch.equal(corrupted.as_tensor(), expected.as_tensor().to(dtype))
            assert (corrupted.float() - expected).abs().max() <= rounding


def test_where_nothing_is_done_a_half_is_clipped_and_else_stays():
    volume = (torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0)) * 500).half()
    still = {"flip": 0, "shuffle": 0, "nonlinear": 0, "paint": 0}
    low, high = np.percentile(volume.float(), (0.5, 99.5), method="nearest").tolist()
    corrupted, _ = RandGenesis(channel_ranges=[None], rates=still)(volume)
    assert torch.equal(corrupted.as_tensor(), volume.clamp(low, high))
