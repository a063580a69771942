"""What a pass over the volumes has found good is remembered: which are read again at the next start."""

import logging
import os
from pathlib import Path

import pytest
from helpers.good_and_bad import CUT, good_and_bad
from helpers.reads import counting, read_files
from monai.transforms import Compose, RandomizableTransform

from medgenesis.data import RandAcceptedCropd, screen_volumes
from medgenesis.data.cache import cached_volumes
from medgenesis.transforms import RandGenesisd


@pytest.fixture
def records(write_nifti):
    return good_and_bad(write_nifti)


def passes(records, tmp_path, cache="none", workers=0, **settings):
    """Files read by one start, and the usable ones."""
    log = tmp_path / "log"
    log.unlink(missing_ok=True)
    prepare = counting(log, intensity=settings.pop("intensity", "ct"))
    volumes = cached_volumes(records, prepare, cache, tmp_path / "cache")
    settings = {"crop": CUT, "on_error": "skip", "num_workers": workers, "trials": [RandGenesisd("image")], **settings}
    good = screen_volumes(records, volumes=volumes, cache_dir=tmp_path / "cache", **settings)
    return read_files(log), [Path(record["image"]).name for record in good]


@pytest.mark.usefixtures("one_thread", "four_cores")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["none", "disk"])
def test_a_second_start_reads_what_is_new_changed_or_bad(records, tmp_path, cache, workers):
    given = [records[name] for name in ("good", "half", "nan")]
    read, good = passes(given, tmp_path, cache, workers)
    assert sorted(read) == ["good.nii", "half.nii", "nan.nii"] and good == ["good.nii", "half.nii"]
    assert passes(given, tmp_path, cache, workers) == (["nan.nii"], good)
    os.utime(given[1]["image"], ns=(0, 0))
    read, good = passes([*given, records["air"]], tmp_path, cache, workers)
    assert sorted(read) == ["air.nii", "half.nii", "nan.nii"] and good == ["good.nii", "half.nii"]


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"draws": 51},
        {"crop": None},
        {"crop": RandAcceptedCropd("image", (6, 6, 5), "foreground")},
        {"trials": []},
        {"trials": [RandGenesisd("image", preset="semantic")]},
        {"intensity": "mri_percentile"},
    ],
)
def test_other_settings_check_anew(records, tmp_path, other):
    given = [records["good"]]
    assert passes(given, tmp_path)[0] == ["good.nii"]
    assert passes(given, tmp_path)[0] == []
    assert passes(given, tmp_path, **other)[0] == ["good.nii"]


def test_a_crop_in_use_is_known_again(records, tmp_path):
    """Training and validation share one crop, whose random state moves on."""
    given, crop = [records["good"]], RandAcceptedCropd("image", 6, "foreground")
    trials = [Compose([crop, RandGenesisd("image")])]
    assert passes(given, tmp_path, crop=crop, trials=trials)[0] == ["good.nii"]
    crop.set_random_state(5)
    assert passes(given, tmp_path, crop=crop, trials=trials)[0] == []


def test_a_volume_that_left_the_cache_is_read_again(records, tmp_path):
    given = [records["good"], records["half"]]
    passes(given, tmp_path, "disk")
    next((tmp_path / "cache").glob("*.pt")).unlink()
    assert len(passes(given, tmp_path, "disk")[0]) == 1


def test_the_report_is_the_same_from_memory_of_the_check(records, tmp_path):
    given = [records["good"], records["half"], records["nan"]]
    texts = []
    for _ in range(2):
        passes(given, tmp_path, "disk", report=tmp_path / "r.csv")
        texts.append((tmp_path / "r.csv").read_text())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_unreadable_results_are_made_anew(records, tmp_path, text, caplog):
    passes([records["good"]], tmp_path)
    (path,) = (tmp_path / "cache").glob("*.json")
    assert "good.nii" not in path.read_text()  # names may be patients'
    path.write_text(text)
    assert passes([records["good"]], tmp_path)[0] == ["good.nii"] and path.name in caplog.text
    assert passes([records["good"]], tmp_path)[0] == []


def test_settings_without_a_pickle_are_not_remembered(records, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(2):
        assert passes([records["good"]], tmp_path, trials=[Trial()])[0] == ["good.nii"]
    assert "not remembered" in caplog.text


class Trial(RandomizableTransform):
    def __init__(self):
        super().__init__()
        self.function = lambda item: item

    def __call__(self, item):
        return self.function(item)
