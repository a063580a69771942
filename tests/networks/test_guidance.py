"""Clicks as input channels: Gaussians in closed form, and a network that answers as before where nothing is clicked."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from medgenesis.networks import UNet3D, guidance_maps
from medgenesis.networks.guidance import SIGMA

PLACE = st.tuples(*(st.floats(-2, side + 1) for side in (9, 7, 11)))


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.integers(0, 2), st.lists(PLACE, max_size=3)))
def test_maps_are_gaussians_of_the_nearest_click(clicks):
    found = guidance_maps(clicks, 3, (9, 7, 11), "cpu").numpy()
    grid = np.stack(np.meshgrid(*map(np.arange, (9, 7, 11)), indexing="ij"), -1)
    for value in range(3):
        expected = np.zeros((9, 7, 11))
        for place in clicks.get(value, []):
            expected = np.maximum(expected, np.exp(-((grid - place) ** 2).sum(-1) / (2 * SIGMA**2)))
        np.testing.assert_allclose(found[value], expected, atol=1e-5)


def test_one_click_is_what_scipy_makes_of_a_point():
    point = np.zeros((25, 25))
    point[12, 11] = 1
    expected = gaussian_filter(point, SIGMA, truncate=6)
    found = guidance_maps({1: [[12, 11]]}, 2, (25, 25), "cpu")
    assert not found[0].any()
    np.testing.assert_allclose(found[1], expected / expected.max(), atol=1e-4)


@pytest.mark.parametrize("pad_to_multiple", [False, True])
def test_no_maps_are_empty_maps(pad_to_multiple):
    torch.manual_seed(0)  # so narrow a network may be dead by its weights
    network = UNet3D(2, 3, width=2, activation=None, guidance=3, pad_to_multiple=pad_to_multiple).eval()
    image = torch.rand(2, 2, 16, 8, 8)
    expected = network(torch.cat([image, torch.zeros(2, 3, 16, 8, 8)], 1))
    assert torch.equal(network(image), expected)
    clicked = torch.cat([image, torch.ones(2, 3, 16, 8, 8)], 1)
    assert not torch.allclose(network(clicked), expected)
    assert torch.equal(torch.jit.script(network)(image), expected)


@pytest.mark.parametrize("guidance", [0, 3])
def test_another_number_of_channels_is_refused(guidance):
    with pytest.raises(RuntimeError, match="channels"):
        UNet3D(2, 3, width=2, guidance=guidance)(torch.rand(2, 3, 16, 8, 8))


@pytest.mark.parametrize("clicks", [{3: [[1, 1, 1]]}, {-1: [[1, 1, 1]]}, {1: [[1, 1]]}])
def test_clicks_that_fit_no_class_or_image(clicks):
    with pytest.raises(ValueError, match=r"clicks: must be of classes 0 to 2, each of 3 numbers; found \[1, 1"):
        guidance_maps(clicks, 3, (4, 4, 4), "cpu")
