"""RandBlur against scipy's Gaussian filter, and its widths against their distribution."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.ndimage import gaussian_filter

from medgenesis.transforms import BatchedBlur, RandBlur


@pytest.mark.parametrize("shape", [(3, 30, 26), (2, 14, 12, 10)])
def test_it_is_scipys_gaussian_along_spatial_axes_alone(shape):
    volume = torch.rand(shape)
    transform = RandBlur(prob=1.0).set_random_state(0)
    for _ in range(5):
        out, (sigma,) = transform(volume), transform.params.sigmas
        expected = [gaussian_filter(channel.double().numpy(), sigma, mode="nearest") for channel in volume]
        np.testing.assert_allclose(out, expected, rtol=0, atol=1e-6)


def test_widths_are_uniform_one_for_all_axes_and_each_cube_has_its_own():
    sigmas = RandBlur().sample(np.random.RandomState(0), (10_000, 1, 4, 4)).sigmas
    assert sigmas.shape == (10_000,) and stats.kstest((sigmas - 0.1) / 1.9, "uniform").pvalue > 1e-4
    spot = torch.zeros(1, 1, 31, 31)
    spot[..., 15, 15] = 1
    out = BatchedBlur((1, 3), prob=1.0).set_random_state(0)(spot.expand(4, -1, -1, -1))
    torch.testing.assert_close(out, out.mT, rtol=0, atol=1e-7)
    assert len(set(out[:, 0, 15, 15].tolist())) == 4
    assert RandBlur().prob == 0.5
