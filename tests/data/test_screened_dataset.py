"""The data set of fine-tuning: MONAI's CacheDataset to the bit, and one reading of each volume."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.reads import counting, read_files
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, RandAffined, RandFlipd, RandSpatialCropd
from monai.utils import set_determinism

from medgenesis.data import Preprocessing, ScreenedDataset, preprocessing
from medgenesis.errors import VolumeError

pytestmark = pytest.mark.usefixtures("one_thread", "four_cores")
CACHES = ["memory", "disk", "none"]


def steps(log=None):
    prepare = preprocessing(intensity="unit") if log is None else counting(log, intensity="unit")
    crop = RandSpatialCropd("image", (8, 8, 8), random_size=False)
    return Preprocessing(
        [*prepare.transforms, crop, RandFlipd("image", 0.5, 0), RandAffined("image", prob=0.9, rotate_range=0.3)]
    )


def epochs(dataset, workers=0):
    set_determinism(7)
    loader = DataLoader(dataset, batch_size=2, shuffle=True, num_workers=workers)
    found = torch.cat([batch["image"].as_tensor() for _ in range(2) for batch in loader])
    set_determinism(None)
    return found


@pytest.fixture
def with_bad(records, tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no volume")
    return [records[0], {"image": str(bad)}, records[2], records[1]]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", CACHES)
def test_epochs_are_those_of_a_cache_dataset(records, tmp_path, cache, workers):
    wanted = epochs(CacheDataset(records, steps(), progress=False), workers)
    for reading in (0, 2):
        found = ScreenedDataset(records, steps(), cache=cache, cache_dir=tmp_path / "cache", num_workers=reading)
        assert torch.equal(epochs(found, workers), wanted)


def test_repeats_are_those_of_a_list_that_is_repeated(records):
    wanted = CacheDataset(records * 3, steps(), hash_as_key=True, progress=False)
    found = ScreenedDataset(records, steps(), repeats=3)
    assert len(found) == 9 and len(found.volumes) == 3
    assert torch.equal(epochs(found), epochs(wanted))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_each_volume_is_read_once(with_bad, tmp_path, cache, workers):
    settings = {"cache": cache, "cache_dir": tmp_path / "cache", "num_workers": workers, "on_error": "skip"}
    dataset = ScreenedDataset(with_bad, steps(tmp_path / "log"), repeats=2, **settings)
    epochs(dataset)
    assert sorted(read_files(tmp_path / "log")) == ["0.nii.gz", "1.nii.gz", "2.nii.gz", "bad.nii.gz"]


@pytest.mark.parametrize("cache", CACHES)
def test_skipped_volumes_are_left_out(with_bad, tmp_path, cache, caplog):
    settings = {"cache": cache, "cache_dir": tmp_path / "cache", "on_error": "skip"}
    dataset = ScreenedDataset(with_bad, preprocessing(intensity="unit"), **settings)
    assert dataset.data == [with_bad[0], with_bad[2], with_bad[3]] and "bad.nii.gz" in caplog.text
    names = [item["image"].meta["filename_or_obj"] for item in dataset]
    assert names == [record["image"] for record in dataset.data]
    with pytest.raises(VolumeError, match="bad.nii.gz"):
        ScreenedDataset(with_bad, preprocessing(intensity="unit"), cache=cache, cache_dir=tmp_path / "cache")


def test_some_volumes_are_held_and_the_others_read_again(records, tmp_path):
    dataset = ScreenedDataset(records, counting(tmp_path / "log", intensity="unit"), cache_num=2, num_workers=2)
    for _ in range(2):
        list(dataset)
    assert sorted(read_files(tmp_path / "log")) == ["0.nii.gz", "1.nii.gz"] + ["2.nii.gz"] * 3


def test_random_steps_do_not_change_what_is_held(records):
    class Darken(RandFlipd):
        def __call__(self, item, lazy=None):
            item["image"].zero_()
            return item

    dataset = ScreenedDataset(records, Compose([*preprocessing(intensity="unit").transforms, Darken("image")]))
    assert dataset[0]["image"].max() == 0
    assert dataset.volumes[0]["image"].max() > 0.9


def test_it_is_indexed_as_monais(records):
    dataset = ScreenedDataset(records, preprocessing(intensity="unit"), repeats=2)
    assert [tuple(item["image"].shape) for item in dataset[4:6]] == [(1, 18, 17, 30), (1, 22, 16, 16)]
    assert torch.equal(dataset[-1]["image"], dataset[5]["image"])
    with pytest.raises(IndexError):
        dataset[6]


def test_no_record_at_all(caplog):
    dataset = ScreenedDataset([], preprocessing())
    assert len(dataset) == 0 and list(dataset) == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize(
    "settings, what",
    [
        ({"repeats": 0}, "repeats"),
        ({"cache": "ram"}, "'ram'"),
        ({"cache": "disk"}, "cache_dir"),
        ({"on_error": "pass"}, "on_error"),
        ({"transform": Compose([RandFlipd("image")])}, "RandFlipd"),
    ],
)
def test_settings_are_checked(records, settings, what):
    with pytest.raises(ValueError, match=what):
        ScreenedDataset(records, **{"transform": preprocessing(), **settings})


def shares(dataset):
    """Of the pages of the held volumes in this process: how many MiB are its own alone."""
    total = sum(float(np.sum(item["image"].numpy())) for item in dataset.volumes)
    with Path("/proc/self/smaps_rollup").open() as file:
        own = {line.split(":")[0]: int(line.split()[1]) for line in file if line.startswith(("Private_", "Shared_"))}
    return total, own["Private_Dirty"] / 1024


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads /proc")
def test_forked_processes_share_what_is_held(tmp_path, in_child):
    np.save(tmp_path / "v.npy", np.linspace(0, 1, 2**24, dtype=np.float32).reshape(256, 256, 256))
    dataset = ScreenedDataset([{"image": str(tmp_path / "v.npy")}], preprocessing(intensity="unit"))
    total, own = in_child(shares, dataset)
    assert total > 2**22 and own < 32  # of 64 MiB
