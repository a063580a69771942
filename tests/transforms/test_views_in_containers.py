"""`Compose`, `OneOf`, `SomeOf`, `RandomOrder` in the chain of two views: the target is clean, or they are refused."""

import pytest
import torch
from monai.transforms import Compose, OneOf, RandFlip, RandomOrder, SomeOf

from medgenesis.transforms import RandBlur, RandBrightnessContrast, RandResizedCrop, RandTwoViewsd


def slab(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def values(sample, *names):
    return [torch.as_tensor(sample[name]).as_subclass(torch.Tensor) for name in names]


@pytest.mark.parametrize("container", [Compose, OneOf, SomeOf, RandomOrder])
def test_a_target_is_the_slab_before_what_a_container_does_to_intensities(container):
    image = slab(3, 64, 64)
    for steps in ([RandBlur(prob=1.0), RandBrightnessContrast(prob=1.0)], [Compose([RandBlur(prob=1.0)])]):
        for seed in range(4):
            views = RandTwoViewsd("image", [container(steps), RandFlip(1.0, 1)], target_key="target")
            query, target = values(views.set_random_state(seed)({"image": image}), "image", "target")
            assert torch.equal(target, image[1:2].flip(-1)) and not torch.equal(query[1:2], target)


@pytest.mark.parametrize("container", [Compose, OneOf, SomeOf, RandomOrder])
@pytest.mark.parametrize("moving", [RandResizedCrop(32), RandFlip(0.5, 1)], ids=["crop", "flip"])
def test_what_moves_within_a_container_is_refused_where_a_target_should_follow(container, moving):
    name = f"found {type(moving).__name__} within {container.__name__}"
    for held in ([RandBlur(), moving], [Compose([moving]), RandBlur()]):
        with pytest.raises(ValueError, match=f"view: must not hide steps that the target follows; {name}"):
            RandTwoViewsd("image", [RandBlur(), container(held)], target_key="target")
        found = RandTwoViewsd("image", [RandBlur(), container(held)])({"image": slab(3, 64, 64)})
        assert set(found) == {"image", "key"}
    flips = RandTwoViewsd("image", [container([RandFlip(1.0, 1)])], target_key="target", align_target=False)
    assert torch.equal(*values({"a": slab(1, 8, 8), **flips({"image": slab(1, 8, 8)})}, "a", "target"))
