"""Which volumes are mined, and what is kept of each."""

import json

import numpy as np
import pytest

from medgenesis.errors import DatalistError
from medgenesis.mining import records_to_mine
from medgenesis.mining.whole_volumes import mined_record


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
    with pytest.raises(DatalistError, match="^record: must name a whole volume"):
        mined_record(record)
