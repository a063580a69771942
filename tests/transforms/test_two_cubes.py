"""Two cubes of one: where they lie, that each is corrupted by itself, and what is refused."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medgenesis.errors import VolumeError
from medgenesis.transforms import RandTwoCubesd


@pytest.mark.parametrize("shape, size", [((12, 11, 10), (8, 7, 9)), ((14, 12), 10)])
def test_cubes_are_parts_of_the_larger_one(shape, size):
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    volume = MetaTensor(torch.rand(2, *shape), affine=affine)
    offsets = set()
    for seed in range(12):
        cut = RandTwoCubesd("image", size, corrupt=[]).set_random_state(seed)({"image": volume})
        starts = []
        for key in ("image", "other"):
            place = np.rint((cut[key].affine[:3, 3] / affine.diagonal()[:3]).numpy()).astype(int)[: len(shape)]
            sides = np.broadcast_to(size, len(shape))
            part = volume[(slice(None), *(slice(p, p + s) for p, s in zip(place, sides, strict=True)))]
            assert torch.equal(cut[key].as_subclass(torch.Tensor), part.as_subclass(torch.Tensor))
            starts.append(place)
        assert cut["offset"].tolist() == (starts[1] - starts[0]).tolist()
        offsets.add(tuple(cut["offset"].tolist()))
    assert len(offsets) > 3


def test_each_is_corrupted_by_itself_and_the_given_one_is_as_it_was():
    volume = torch.rand(1, 20, 20, 12)
    before = volume.clone()
    make = RandTwoCubesd("image", (18, 18, 10))
    first, again = (make.set_random_state(3)({"image": volume}) for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first) and torch.equal(volume, before)
    plain = RandTwoCubesd("image", (18, 18, 10), corrupt=[]).set_random_state(3)({"image": volume})
    assert torch.equal(first["offset"], plain["offset"])
    changed = []
    for seed in range(8):
        found = make.set_random_state(seed)({"image": volume})
        whole = RandTwoCubesd("image", (18, 18, 10), corrupt=[]).set_random_state(seed)({"image": volume})
        changed.append(tuple(not torch.equal(found[key], whole[key]) for key in ("image", "other")))
    assert {True, False} <= {one for pair in changed for one in pair}


def test_what_is_refused():
    for size in ((21, 8, 8), (10, 8, 8)):
        with pytest.raises(ValueError, match="size: must be at most the sides it is cut from, and above half"):
            RandTwoCubesd("image", size)({"image": torch.rand(1, 20, 10, 10)})
    with pytest.raises(ValueError, match="keys: must be three different names"):
        RandTwoCubesd("image", other_key="image")


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16])
def test_integers_are_refused_by_name(kind):
    """MONAI's "applying transform" stood before the cause."""
    with pytest.raises(VolumeError, match="^volume: must be floating point; found torch."):
        RandTwoCubesd("image", 7)({"image": torch.zeros(1, 8, 8, 8, dtype=kind)})
