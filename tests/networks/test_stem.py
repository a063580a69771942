"""A stem on other channels: equal slices give the response of the published stem."""

import pytest
import torch
import torch.nn.functional as F

from medgenesis.networks import inflate_stem
from medgenesis.networks.stem import inflate_guided_stem


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("slices", [1, 3, 5, 7])
def test_equal_slices_give_the_same_response(channels, slices):
    torch.manual_seed(0)
    weight, image = torch.randn(8, channels, 7, 7).double(), torch.rand(2, 1, 20, 24).double()
    inflated = inflate_stem(weight, slices)
    assert inflated.shape == (8, slices, 7, 7) and inflated.is_contiguous()
    expected = F.conv2d(image.repeat(1, channels, 1, 1), weight, stride=2, padding=3)
    assert expected.std() > 0.1
    assert torch.allclose(F.conv2d(image.repeat(1, slices, 1, 1), inflated, stride=2, padding=3), expected)


def test_as_many_slices_as_channels_changes_nothing():
    weight = torch.randn(4, 3, 7, 7)
    assert torch.equal(inflate_stem(weight, 3), weight)


def test_every_slice_counts_alike():
    inflated = inflate_stem(torch.arange(6.0).view(2, 3, 1, 1), 5)  # sums 3 and 12
    assert torch.allclose(inflated[..., 0, 0], torch.tensor([[0.6] * 5, [2.4] * 5]))


def test_settings_that_make_no_sense():
    with pytest.raises(ValueError, match="slices: must be at least 1; found 0"):
        inflate_stem(torch.zeros(4, 3, 7, 7), 0)
    with pytest.raises(ValueError, match=r"weight: .*found shape \(4,\)"):
        inflate_stem(torch.zeros(4), 3)


@pytest.mark.parametrize(("theirs", "ours"), [(0, 3), (3, 0), (2, 3), (3, 3), (0, 0)])
@pytest.mark.parametrize("channels", [1, 2])
def test_channels_for_clicks_change_nothing_before_a_click(theirs, ours, channels):
    torch.manual_seed(0)
    weight, image = torch.randn(4, 2 + theirs, 3, 3, 3).double(), torch.rand(2, 1, 8, 8, 8).double()
    inflated = inflate_guided_stem(weight, channels + ours, theirs, ours)
    empty = torch.zeros(2, ours, 8, 8, 8).double()
    found = F.conv3d(torch.cat([image.repeat(1, channels, 1, 1, 1), empty], 1), inflated)
    assert torch.allclose(found, F.conv3d(image.repeat(1, 2, 1, 1, 1), weight[:, :2]))
    kept = weight[:, 2:] if theirs == ours else torch.zeros(4, ours, 3, 3, 3).double()
    assert torch.equal(inflated[:, channels:], kept)
