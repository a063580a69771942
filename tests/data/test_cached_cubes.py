"""Cubes of cached volumes: the same samples from any cache, and what a crop is given of a compressed volume."""

import pytest
import torch
from helpers.cubes import cubes
from helpers.toy import same
from monai.transforms import CopyItemsd, Lambdad

from medgenesis.data import PatchDataset, Preprocessing, RandAcceptedCropd, preprocessing
from medgenesis.data.blocks import BlockedVolume
from medgenesis.transforms import RandSlabd

pytestmark = pytest.mark.usefixtures("one_thread")


def test_all_caches_give_the_same_bits(records, tmp_path):
    none = cubes(records)
    others = [
        cubes(records, cache, cache_dir=tmp_path) for cache in ("memory", "disk", "compressed", "disk", "compressed")
    ]
    for epoch in range(2):
        for index in range(12):
            for other in others:
                same(other[epoch, index], none[epoch, index])


@pytest.mark.parametrize(
    "crop",
    [
        RandAcceptedCropd("image", (8, 9, 6), "foreground", label_keys="label", size_mm=(9, 20, 30), pad=True),
        RandAcceptedCropd("image", (24, 24, 24), "any", label_keys="label", pad=True, corners_key="corners"),
        RandSlabd("image", slices=3, axis="random", label_keys="label"),
    ],
)
def test_compressed_volumes_give_the_same_crops_with_the_same_affine(records, tmp_path, crop):
    """By regions (of the first two) and whole (of slabs)."""
    prepare = Preprocessing([*preprocessing(intensity="unit").transforms, CopyItemsd("image", names="label")])
    plain, packed = (
        PatchDataset(records, prepare, crop, patches_per_image=3, cache=cache, cache_dir=tmp_path)
        for cache in ("disk", "compressed")
    )
    by_region = isinstance(crop, RandAcceptedCropd)
    assert [isinstance(packed.source(0)[key], BlockedVolume) for key in ("image", "label")] == [by_region] * 2
    for index in range(9):
        wanted, found = (one.random_transform.set_random_state(index)(one.source(index)) for one in (plain, packed))
        assert wanted.keys() == found.keys()
        for key in ("image", "label"):
            assert torch.equal(found[key], wanted[key])
            assert torch.equal(found[key].affine, wanted[key].affine)
        assert torch.equal(torch.as_tensor(found.get("corners", 0)), torch.as_tensor(wanted.get("corners", 0)))


class NeedsWhole(RandAcceptedCropd):
    """A crop of somebody's own, which takes more of a volume than a region."""

    def __call__(self, data):
        return super().__call__({**data, "image": data["image"] / data["image"].max()})


class Scale:
    """A step that MONAI takes for a random one, as it is no `Transform`."""

    def __call__(self, item):
        return {**item, "image": item["image"] * 0.5}


@pytest.mark.parametrize("kind", [RandAcceptedCropd, NeedsWhole])
@pytest.mark.parametrize("last", [None, Scale()])
def test_what_else_reads_a_compressed_volume_has_it_whole(records, tmp_path, kind, last):
    """Classes derived from a crop, steps after those that are cached, and keys that the crop does not cut."""
    steps = [*preprocessing(intensity="unit").transforms, CopyItemsd("image", names="atlas")]
    prepare = Preprocessing(steps if last is None else [*steps, last])
    add = Lambdad("atlas", lambda volume: volume.mean()[None])
    plain, packed = (
        PatchDataset(
            records, prepare, kind("image", (8, 9, 6), "any"), add, patches_per_image=2, cache=cache,
            cache_dir=tmp_path, keys=("image", "atlas"),
        )
        for cache in ("none", "compressed")
    )  # fmt: skip
    for index in range(6):
        same(packed[index], plain[index])


def test_samples_leave_the_cached_volumes_as_they_were(records, tmp_path):
    for cache in ("memory", "disk", "compressed"):
        dataset = cubes(records, cache, cache_dir=tmp_path)
        before = dataset.volumes[0]["image"].clone()
        sample = dataset[0]
        sample["target"].zero_()  # cubes own their memory
        assert torch.equal(dataset.volumes[0]["image"], before)


def test_settings_of_the_cache_are_checked(records):
    for cache in ("disk", "compressed"):
        with pytest.raises(ValueError, match=f"cache_dir.*{cache}"):
            cubes(records, cache)
    with pytest.raises(ValueError, match="'ram'"):
        cubes(records, "ram")
