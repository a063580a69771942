"""Which volumes are mined, and how they are got by number."""

import json
from pathlib import Path

import numpy as np
import pytest

from medgenesis.data import MappedDataset, preprocessing
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining import VolumeLoader, records_to_mine
from medgenesis.mining.loading import mined_record

UNIT = {"intensity": "unit"}


def noise(count):
    return np.random.default_rng(0).random((count, 9, 8, 7), dtype=np.float32)


def write_list(path, **sections):
    path.write_text(json.dumps(sections))
    return path


def test_records_of_both_sections_keep_what_mining_needs(scans, tmp_path):
    names = [volume.image for volume in scans(noise(4))]
    path = write_list(
        tmp_path / "list.json",
        training=[{"image": names[0], "patient": "a", "weight": 2}, {"image": names[1], "label": names[0]}],
        validation=[{"image": names[2], "patient": 3}],
        test=[{"image": names[3], "patient": "d"}],
    )
    assert records_to_mine(path) == [
        {"image": names[0], "patient": "a", "section": "training"},
        {"image": names[1], "patient": names[1], "section": "training"},
        {"image": names[2], "patient": "3", "section": "validation"},
    ]


def test_a_list_without_validation(scans, tmp_path):
    (volume,) = scans(noise(1))
    for extra in ({}, {"validation": []}):
        path = write_list(tmp_path / "list.json", training=[{"image": volume.image}], **extra)
        assert [record["section"] for record in records_to_mine(path)] == ["training"]
    with pytest.raises(DatalistError, match="training"):
        records_to_mine(write_list(tmp_path / "list.json", test=[{"image": volume.image}]))


def test_absent_files_stop_or_are_skipped(scans, tmp_path):
    (volume,) = scans(noise(1))
    path = write_list(tmp_path / "list.json", training=[{"image": volume.image}, {"image": "gone.npy"}])
    with pytest.raises(DatalistError, match="gone.npy"):
        records_to_mine(path)
    assert [record["image"] for record in records_to_mine(path, on_error="skip")] == [volume.image]


@pytest.mark.parametrize("record", [{"image": ["a.nii", "b.nii"]}, {"image": "a.npy", "cube": 0}, {"patient": "p"}])
def test_what_is_no_whole_volume_of_one_file(record):
    with pytest.raises(DatalistError, match="cannot be mined"):
        mined_record(record)


@pytest.mark.parametrize("cache", ["none", "disk", "memory"])
def test_volume_i_of_the_list(scans, tmp_path, cache):
    arrays = noise(3)
    load = VolumeLoader(scans(arrays), preprocessing(**UNIT), cache=cache, cache_dir=tmp_path / "cache")
    for i in (2, 0, 1, 2):
        np.testing.assert_array_equal(load(i)[0].numpy(), arrays[i])


def test_one_disk_cache_serves_all_steps(scans, tmp_path):
    volumes = scans(noise(3))
    path = write_list(tmp_path / "l.json", training=[{"image": v.image, "patient": v.patient} for v in volumes])
    features = MappedDataset(records_to_mine(path), preprocessing(**UNIT), tmp_path / "cache")
    load = VolumeLoader(volumes, preprocessing(**UNIT), cache="disk", cache_dir=tmp_path / "cache")
    for i in range(3):
        assert features[i]["image"].shape == load(i).shape
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 3


def test_a_volume_that_has_changed_or_gone_is_named(scans):
    volumes = scans(noise(2))
    load = VolumeLoader(volumes, preprocessing(**UNIT))
    np.save(volumes[1].image, np.random.default_rng(0).random((9, 8, 6)))
    load(0)
    with pytest.raises(VolumeError, match=r"1.npy.*\(9, 8, 6\).*\(9, 8, 7\).*mine again"):
        load(1)
    Path(volumes[0].image).unlink()
    with pytest.raises(VolumeError, match="0.npy.*no such file"):
        load(0)


def test_a_disk_cache_needs_a_folder(scans):
    with pytest.raises(ValueError, match="cache_dir"):
        VolumeLoader(scans(noise(1)), preprocessing(**UNIT), cache="disk")
