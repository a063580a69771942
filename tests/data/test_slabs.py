"""Slabs of a list that mixes volumes and images, as two views: alike whatever the cache and the workers."""

import numpy as np
import pytest
import torch
from monai.transforms import Randomizable
from PIL import Image
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, make_datalist, preprocessing
from medgenesis.errors import VolumeError
from medgenesis.transforms import RandSlabd, adam_views, caid_views

pytestmark = pytest.mark.usefixtures("one_thread")
KEYS = ("image", "key", "target")


@pytest.fixture
def mixed(records, tmp_path):
    """Three volumes, one of them two slices thin, and two images."""
    rng = np.random.default_rng(1)
    np.save(tmp_path / "thin.npy", rng.random((40, 36, 2), dtype=np.float32))
    images = []
    for name, shape in (("a.png", (90, 100)), ("b.png", (64, 70))):
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(tmp_path / name)
        images.append({"image": str(tmp_path / name), "intensity": "xray"})
    return [*records[:2], {"image": str(tmp_path / "thin.npy")}, *images]


def slabs(data, views=None, cache="none", axis="random", **settings):
    settings = {"patches_per_image": 2, "seed": 5, "keys": KEYS, **settings}
    crop = RandSlabd("image", 3, axis)
    return PatchDataset(data, preprocessing(intensity="unit"), crop, views, cache=cache, **settings)


def test_what_a_slab_is_of_a_volume_a_thin_one_and_an_image(mixed):
    dataset = slabs(mixed)
    assert len(dataset) == 10
    thin = [dataset[index]["image"] for index in (4, 5)]
    assert all(slab.shape[0] == 3 for slab in thin)
    for index, file in ((6, mixed[3]["image"]), (9, mixed[4]["image"])):
        slab = dataset[index]["image"]
        rows = np.asarray(Image.open(file)) / np.float32(255)
        for channel in slab:
            np.testing.assert_array_equal(channel.numpy(), rows)  # an X-ray is as displayed already


@pytest.mark.parametrize("cache", ["none", pytest.param("memory", marks=pytest.mark.slow), "disk"])
def test_views_depend_on_no_cache_and_no_worker(mixed, tmp_path, cache):
    views = caid_views(96, least_side=2)  # one of the volumes is two slices thin
    expected = [slabs(mixed, views)[0, index] for index in range(10)]
    dataset = slabs(mixed, views, cache=cache, cache_dir=tmp_path / "cache")
    for workers in (0, 2):
        loader = DataLoader(dataset, 5, sampler=dataset.sampler(shuffle=False), num_workers=workers)
        batches = list(loader)
        for name, shape in (("image", (5, 3, 96, 96)), ("key", (5, 3, 96, 96)), ("target", (5, 1, 96, 96))):
            assert all(batch[name].shape == shape for batch in batches)
            found = torch.cat([batch[name] for batch in batches])
            assert torch.equal(found, torch.stack([sample[name] for sample in expected]))
    assert not torch.equal(expected[0]["image"], expected[0]["key"])


def test_a_grid_finer_than_an_image_is_known_before_training(mixed):
    xrays = mixed[3:]
    assert len(slabs(xrays, adam_views(48, level=2), keys=("image", "key"))) == 4
    with pytest.raises(VolumeError, match=r"a\.png: .*level"):
        slabs(xrays, adam_views(48, level=4))
    large = slabs(xrays, adam_views(48, level=2, least_side=40), on_error="skip")
    assert [record["image"] for record in large.data] == [xrays[0]["image"]]


@pytest.mark.parametrize(("axis", "times"), [(2, 1), ("random", 3)])
def test_the_whole_sample_is_tried_once_for_each_shape_and_axis(mixed, axis, times):
    tried = []

    class Views(Randomizable):
        def __call__(self, item):
            tried.append(tuple(item["image"].shape))
            return item

    slabs([*mixed[3:], *mixed[3:]], Views(), axis=axis)
    assert tried == [(3, 90, 100)] * times + [(3, 64, 70)] * times


def test_real_xrays_and_slabs_of_real_volumes(real_data, tmp_path):
    xrays = make_datalist(real_data / "cxr_nih", splits=(1, 0, 0))["training"][:2]
    xrays = [{**record, "intensity": "xray"} for record in xrays]
    volumes = make_datalist(real_data / "mr_hippocampus" / "images", splits=(1, 0, 0))["training"][:2]
    scans = [{"image": str(real_data / "ct_torso_totalsegmentator" / "example_ct.nii.gz"), "intensity": "ct"}]
    dataset = PatchDataset(
        [*xrays, *volumes, *scans],
        preprocessing(intensity="mri_percentile", max_image_side=512),
        RandSlabd("image", 3, step_mm=3.0),
        adam_views(64, least_side=8),
        patches_per_image=1,
        cache_dir=tmp_path,
        keys=("image", "key"),
    )
    for index in range(5):
        for view in dataset[index].values():
            assert view.shape == (3, 64, 64) and 0 <= view.min() and view.max() <= 1 and view.std() > 0.05
