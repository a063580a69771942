"""Smoothing against scipy's Gaussian filter."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from medgenesis.transforms.functional.gaussian import smooth


@pytest.mark.parametrize("shape", [(40, 33), (20, 17, 9), (3, 50), (1, 1, 30)])
def test_each_cube_is_what_scipy_makes_of_it(shape):
    batch = torch.rand(5, 2, *shape, dtype=torch.float64)
    sigmas, before = np.array([0.1, 0.4, 1.0, 1.37, 2.0]), batch.clone()
    out = smooth(batch, sigmas)
    for b, sigma in enumerate(sigmas):
        for c in range(2):
            expected = gaussian_filter(batch[b, c].numpy(), sigma, mode="nearest", truncate=4.0)
            np.testing.assert_allclose(out[b, c], expected, rtol=0, atol=1e-12)
    assert torch.equal(batch, before)


def test_a_cube_is_the_same_beside_a_wider_one():
    batch = torch.rand(2, 1, 30, 30)
    assert torch.equal(smooth(batch, np.array([0.5, 2.0]))[:1], smooth(batch[:1], np.array([0.5])))
