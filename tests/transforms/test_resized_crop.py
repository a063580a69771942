"""RandResizedCrop: what is drawn becomes what is cut; the draws' distribution is tested in functional/test_crops.py."""

import numpy as np
import pytest
import torch

from medgenesis.errors import VolumeError
from medgenesis.transforms import BatchedResizedCrop, RandResizedCrop


def test_the_defaults_are_the_published_ones():
    transform = RandResizedCrop()
    assert transform.size == 224 and transform.scale == (0.2, 1.0) and transform.ratio == (3 / 4, 4 / 3)
    sides = transform.sample(np.random.RandomState(0), (4000, 3, 500, 500)).sides
    share, aspect = sides.prod(axis=1) / 500**2, sides[:, 1] / sides[:, 0]
    assert 0.199 < share.min() < 0.21 and 0.97 < share.max() <= 1
    assert 0.745 < aspect.min() < 0.76 and 1.32 < aspect.max() < 1.34


@pytest.mark.parametrize("shape, size", [((40, 30), (16, 12)), ((20, 16, 12), 8)])
def test_the_box_that_expand_shows_is_what_is_resized(shape, size):
    batch = torch.rand(3, 2, *shape)
    batched = BatchedResizedCrop(size).set_random_state(0)
    out = batched(batch)
    for cube, result, (first, end) in zip(batch, out, batched.params.expand(), strict=True):
        box = cube[(slice(None), *map(slice, first, end))]
        whole = RandResizedCrop(size, (1, 1), (1e-3, 1e3)).set_random_state(0)(box)  # of a box all of it
        torch.testing.assert_close(result, whole.as_tensor(), rtol=0, atol=1e-6)
    assert len({box.tobytes() for box in batched.params.expand()}) == 3


def test_channels_are_cut_alike():
    one = torch.rand(1, 60, 50)
    out = RandResizedCrop(24).set_random_state(0)(one.expand(3, -1, -1))
    assert torch.equal(out[0], out[1]) and torch.equal(out[0], out[2])


def test_what_is_too_small_is_named_before_anything_is_drawn():
    transform = RandResizedCrop(24, least_side=32)
    with pytest.raises(VolumeError, match=r"each side .* at least 32 voxels; found \(40, 31\).*lower least_side"):
        transform(torch.rand(1, 40, 31))
    assert transform.params is None
    assert transform(torch.rand(1, 32, 40)).shape == (1, 24, 24)


def test_a_size_of_another_rank_is_named():
    with pytest.raises(VolumeError, match=r"one spatial axis for each of size=\(8, 8\); found 3"):
        RandResizedCrop((8, 8))(torch.rand(1, 9, 9, 9))
