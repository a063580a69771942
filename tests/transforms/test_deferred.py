"""What is left to the device: the same samples, whoever makes them."""

import copy

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, RandSpatialCropd
from torch.utils.data import default_collate

from medgenesis.transforms import Deferred, RandGenesisd, RandMaskBlocksd, RandRegionPromptd, RandSlabd
from medgenesis.transforms.deferred import SEED


@pytest.mark.parametrize(
    "transform",
    [
        RandGenesisd(),
        RandGenesisd(preset="semantic"),
        RandGenesisd(channel_ranges=[None, (0.1, 0.8)]),
        RandMaskBlocksd(target_key="target", block_size=4),
        RandMaskBlocksd(block_size=(4, 2, 8), prob=0.5),
    ],
    ids=["models", "semantic", "z-scored", "mask", "mask, sometimes"],
)
def test_a_chain_with_it_and_the_batch_after_are_the_chain_without(transform):
    volume = {"image": torch.rand(2, 20, 18, 22, generator=torch.Generator().manual_seed(0))}
    crop = RandSpatialCropd("image", (16, 12, 16), random_size=False)
    now = Compose([crop, copy.deepcopy(transform)])
    later = Compose([copy.deepcopy(crop), deferred := Deferred(transform)])
    made, left = [], []
    for seed in (3, 3, 11, 2**32 - 2, 40, 7):
        made.append({name: value.as_tensor() for name, value in now.set_random_state(seed)(volume).items()})
        sample = later.set_random_state(seed)(volume)
        left.append({"image": sample["image"].as_tensor(), SEED: sample[SEED], "class": seed})
    batch = default_collate(left)
    before = batch["image"].clone()
    found, expected = deferred.on_batch(batch), default_collate(made)
    assert found.pop("class").tolist() == [sample["class"] for sample in left] and SEED in batch
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)
    assert torch.equal(batch["image"], before)


def test_an_image_mirrored_in_a_batch_has_its_own_affine():
    volumes = [MetaTensor(torch.rand(1, 9, 8, 7), affine=torch.diag(torch.tensor([2.0, 3, 4, 1]))) for _ in range(6)]
    transform = RandGenesisd(rates={"flip": 0.8})
    together = transform.on_batch({"image": torch.stack(volumes)}, range(6))
    for seed, volume in enumerate(volumes):
        alone = transform.set_random_state(seed)({"image": volume})
        assert torch.equal(together["target"].affine[seed], alone["target"].affine)


def test_without_new_seeds_each_sample_has_another_one():
    deferred = Deferred(RandGenesisd()).set_random_state(5)
    seeds = [deferred({})[SEED] for _ in range(20)]
    assert seeds[0] == 5 and len(set(seeds)) == 20 and all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    assert [deferred.set_random_state(5)({})[SEED], deferred({})[SEED]] == seeds[:2]


@pytest.mark.parametrize("transform", [RandRegionPromptd(), RandSlabd("image"), Compose([])])
def test_what_knows_no_batches_is_refused(transform):
    with pytest.raises(ValueError, match=f"transform: must have a batched form.* {type(transform).__name__}. Leave"):
        Deferred(transform)


def test_a_second_one_in_a_chain_is_refused():
    chain = Compose([Deferred(RandMaskBlocksd(target_key="whole", block_size=4)), Deferred(RandGenesisd())])
    with pytest.raises(RuntimeError) as caught:
        chain({"image": torch.rand(1, 8, 8, 8)})
    assert "deferred_seed: must not be a key of the sample, as the seed of one Deferred" in str(caught.value.__cause__)
