"""The pass over all volumes before training: stop or skip, the report, a cache that it fills, processes, memory."""

import csv
import json
import logging
import mmap
import resource
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from helpers.good_and_bad import CUT, good_and_bad
from helpers.reads import counting, read_files
from monai.transforms import Compose, RandomizableTransform

from medgenesis.data import RandAcceptedCropd, load_usable, preprocessing, screen_volumes
from medgenesis.data.cache import cached_volumes
from medgenesis.data.screening import check_share
from medgenesis.data.volume_check import VolumeCheck
from medgenesis.errors import IntensityRangeError, VolumeError
from medgenesis.transforms import RandGenesisd


@pytest.fixture
def records(write_nifti):
    return good_and_bad(write_nifti)


def test_bad_volumes_are_skipped_counted_and_named(records, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    given = list(records.values())
    good = screen_volumes(given, preprocessing(), CUT, on_error="skip", report=tmp_path / "r.csv")
    assert good[0] is records["good"] and good[1] is records["half"] and len(good) == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.split(":")[0] for text in warnings] == [f"skipped {i}" for i in range(1, 6)]
    for name, text in zip(("air", "nan", "z", "thin", "absent"), warnings, strict=True):
        assert f"{name}.nii" in text
    assert "2 of 7 volumes can be used, 5 skipped" in caplog.text
    rows = {row["file"].split("/")[-1]: row for row in csv.DictReader((tmp_path / "r.csv").open())}
    assert rows["good.nii"]["shape"] == "12x12x12" and rows["good.nii"]["spacing_mm"] == "1x1x1"
    assert float(rows["good.nii"]["accepted"]) == 1 and float(rows["air.nii"]["accepted"]) == 0
    # of the 7 starts along x, those from 4 to 6 in LPS hold at least 4 of 6 body slices: shares 4/6, 5/6, 1
    assert 0.2 < float(rows["half.nii"]["accepted"]) < 0.65
    assert "NaN" in rows["nan.nii"]["error"] and rows["nan.nii"]["accepted"] == ""
    assert [path.name for path in tmp_path.glob("*.csv")] == ["r.csv"]


@pytest.mark.parametrize(
    "name, error, what",
    [
        ("air", VolumeError, r"air.nii: the crop criterion .* one of 50 .* ForegroundCriterion.* accepts none"),
        ("nan", VolumeError, "nan.nii: .* in 144 of 1728"),
        ("z", IntensityRangeError, "z.nii"),
        ("thin", VolumeError, r"thin.nii: must be as large as the cube, \(6, 6, 6\); found \(12, 12, 3\)"),
        ("absent", VolumeError, "absent.nii: must be a file or folder"),
    ],
)
def test_the_first_bad_volume_stops(records, tmp_path, name, error, what):
    with pytest.raises(error, match=what):
        screen_volumes([records["good"], records[name]], preprocessing(), CUT, report=tmp_path / "r.csv")
    last = list(csv.DictReader((tmp_path / "r.csv").open()))[-1]
    assert f"{name}.nii" in last["file"] and last["error"]


def test_nothing_left_is_an_error(records):
    with pytest.raises(VolumeError, match="found none of 2. The first error: .*nan.nii"):
        screen_volumes([records["nan"], records["thin"]], preprocessing(), CUT, on_error="skip")
    with pytest.raises(VolumeError, match="a section of the datalist is empty"):
        screen_volumes([], preprocessing(), CUT)


def test_a_volumes_share_depends_on_no_other(records, tmp_path):
    def shares(names):
        screen_volumes([records[name] for name in names], preprocessing(), CUT, on_error="skip", report=tmp_path / "r")
        return {row["file"]: row["accepted"] for row in csv.DictReader((tmp_path / "r").open())}

    first, second = shares(["nan", "half", "good"]), shares(["good", "half"])
    assert first[records["half"]["image"]] == second[records["half"]["image"]]


def test_the_pass_fills_the_cache_it_is_given(records):
    given, asked = [records["good"], records["half"]], []
    steps = preprocessing()
    volumes = cached_volumes(given, lambda record: asked.append(record["image"]) or steps(record), "memory")
    assert screen_volumes(given, volumes=volumes, crop=CUT) == given
    assert torch.equal(volumes[1]["image"], steps(given[1])["image"])
    assert asked == [record["image"] for record in given]


class FullDisk(torch.utils.data.Dataset):
    transform = None

    def __getitem__(self, i):
        raise OSError("disk full")


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_that_are_no_volumes_fault_go_through(records, workers, four_cores):
    with pytest.raises(OSError, match="disk full"):
        screen_volumes([records["good"]] * 2, volumes=FullDisk(), on_error="skip", num_workers=workers)


def test_settings(records):
    with pytest.raises(ValueError, match="on_error"):
        screen_volumes([], preprocessing(), on_error="warn")
    with pytest.raises(ValueError, match="preprocessing"):
        screen_volumes([])


def test_without_a_cut_only_reading_is_checked(records):
    assert screen_volumes([records["air"], records["thin"]], preprocessing()) == [records["air"], records["thin"]]


def test_real_volumes_together(real_data, tmp_path):
    names = (
        "ct_chest_cip/ct-64.nrrd",
        "ct_torso_totalsegmentator/example_ct.nii.gz",
        "ct_torso_totalsegmentator/example_ct_dicom",
    )
    records = [{"image": str(real_data / name)} for name in names]
    crop = RandAcceptedCropd("image", (32, 32, 16), "foreground")
    assert screen_volumes(records, preprocessing(), crop, report=tmp_path / "r.csv") == records
    with pytest.raises(VolumeError, match="ct-64.nrrd: .*LungCriterion"):
        screen_volumes(records, preprocessing(), RandAcceptedCropd("image", (32, 32, 16), "lung"))


def test_usable_records_of_a_list(records, tmp_path, caplog):
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": [records["nan"], records["absent"], records["good"]], "test": []}))
    with pytest.warns(FutureWarning, match="ScreenedDataset"):
        assert load_usable(path, "training", preprocessing(), "skip") == [records["good"]]
    assert "absent.nii" in caplog.text and "nan.nii" in caplog.text
    with pytest.warns(FutureWarning, match="ScreenedDataset"):
        assert load_usable(path, "test", preprocessing()) == []
    assert "section 'test' is empty" in caplog.text


def test_no_volume_at_all(tmp_path):
    with pytest.raises(VolumeError, match="a section of the datalist is empty"):
        screen_volumes([], preprocessing())


# ---- several processes


def outcome(records, workers, path, caplog, **settings):
    """What a pass gives: usable files, report, warnings."""
    caplog.clear()
    trials = [Compose([CUT, RandGenesisd("image")]), Compose([CUT])]
    settings = {"on_error": "skip", "report": path, "trials": trials, "num_workers": workers, **settings}
    good = screen_volumes(records, preprocessing(), CUT, **settings)
    said = [record.getMessage() for record in caplog.records if record.name == "medgenesis.data.screening"]
    return [record["image"] for record in good], path.read_text(), said


@pytest.mark.usefixtures("one_thread", "four_cores")
@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_the_number_of_processes_plays_no_part(records, tmp_path, caplog, cache):
    caplog.set_level(logging.INFO)
    given = [records[name] for name in ("nan", "good", "half", "air", "z", "half", "thin", "good", "absent")]
    found = []
    for workers in (0, 2, 3):
        volumes = cached_volumes(given, preprocessing(), cache, tmp_path / f"cache{workers}")
        found.append(outcome(given, workers, tmp_path / "r.csv", caplog, volumes=volumes))
        assert torch.equal(volumes[2]["image"], preprocessing()(given[2])["image"])
    assert found[1] == found[0] and found[2] == found[0]
    assert len(found[0][0]) == 4 and len(found[0][2]) == 6


class RefusesFirst(RandomizableTransform):
    """Refuses its volume unless it is the one of the name that is given."""

    def __init__(self, keeps):
        super().__init__()
        self.keeps = keeps

    def __call__(self, item):
        if self.keeps not in item["image"].meta["filename_or_obj"]:
            raise VolumeError("this sample cannot be made")
        return item


@pytest.mark.usefixtures("one_thread", "four_cores")
def test_the_first_usable_volume_of_a_kind_is_tried(write_nifti, caplog, tmp_path):
    """Those before it are refused by the trial, those after it are not tried: with any number of processes."""
    noise = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32) * 300
    given = [{"image": write_nifti(f"{i}.nii", noise)} for i in range(6)]
    for workers in (0, 2, 3):
        good = screen_volumes(
            given, preprocessing(), on_error="skip", trials=[RefusesFirst("2.nii")], num_workers=workers
        )
        assert good == given[2:]


@pytest.mark.usefixtures("one_thread", "four_cores")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stop_is_at_the_first_bad_volume_of_the_list(records, tmp_path, workers):
    given = [records["good"], records["half"], records["nan"], records["absent"]]
    with pytest.raises(VolumeError, match="nan.nii") as caught:
        screen_volumes(given, preprocessing(), num_workers=workers, report=tmp_path / "r.csv")
    assert caught.value.__traceback__.tb_next is not None
    assert len(list(csv.DictReader((tmp_path / "r.csv").open()))) == 3


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_share_ends_where_another_has_found_a_bad_volume(records, tmp_path, on_error):
    """Of two shares in turn, the first begins with the bad volume."""
    given, stop = [records[name] for name in ("nan", "good", "half", "z", "half", "half")], Event()
    read = []
    for share in range(2):
        log = tmp_path / f"share{share}"
        volumes = cached_volumes(given, counting(log), "none", None)
        check_share(given, volumes, VolumeCheck(CUT), share, 2, tmp_path, stop, on_error=on_error)
        read.append(read_files(log))
    whole = [["nan.nii", "half.nii", "half.nii"], ["good.nii", "z.nii", "half.nii"]]
    assert read == (whole if on_error == "skip" else [one[:1] for one in whole]) and stop.is_set() == (
        on_error == "stop"
    )


# ---- memory


def screen_limited(names, cache, folder, workers, mib):
    """Usable volumes, found in processes that may take `mib` MiB more than this one has; None: the limit is idle."""
    with Path("/proc/self/statm").open() as file:
        used = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + mib * 2**20, -1))
    try:  # asks the system, not malloc: what tests before this one freed may still lie in its heap
        mmap.mmap(-1, 2 * mib * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        return None
    except OSError:
        pass
    given = [{"image": name} for name in names]
    volumes = cached_volumes(given, preprocessing(intensity="unit"), cache, folder)
    return len(screen_volumes(given, volumes=volumes, crop=RandAcceptedCropd("image", 32, "any"), num_workers=workers))


@pytest.mark.usefixtures("one_thread", "four_cores")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache, mib", [("none", 96), ("disk", 96), ("memory", 128 + 96)])
def test_memory_is_bounded_by_the_volumes_under_way(tmp_path, in_child, cache, mib, workers):
    """8 volumes of 16 MiB, 128 in all: a process may take 96 MiB more than what is kept in memory."""
    names = [str(tmp_path / f"{i}.npy") for i in range(8)]
    for name in names:
        np.save(name, np.linspace(0, 1, 2**22, dtype=np.float32).reshape(128, 128, 256))
    found = in_child(screen_limited, names, cache, tmp_path / "cache", workers, mib)
    if found is None:
        pytest.skip("this system does not enforce RLIMIT_DATA")
    assert found == 8
