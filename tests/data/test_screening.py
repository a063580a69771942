"""The pass over all volumes before training: stop or skip, the report, a cache that it fills."""

import csv
import json
import logging

import numpy as np
import pytest

from medgenesis.data import ForegroundCriterion, RandAcceptedCropd, load_usable, preprocessing, screen_volumes
from medgenesis.errors import IntensityRangeError, VolumeError


@pytest.fixture
def records(write_nifti):
    rng = np.random.default_rng(0)
    good = (rng.normal(size=(12, 12, 12)) * 300).astype(np.float32)
    air = np.full((12, 12, 12), -1000, np.float32)
    air[:2, :2, :2] = 0
    half_air = good.copy()
    half_air[6:] = -1024
    holes = good.copy()
    holes[0] = np.nan
    volumes = {"good": good, "half": half_air, "air": air, "nan": holes, "z": good / 300, "thin": good[..., :3]}
    records = {name: {"image": write_nifti(f"{name}.nii", volume)} for name, volume in volumes.items()}
    return {**records, "absent": {"image": "/nowhere/absent.nii"}}


CUT = RandAcceptedCropd("image", (6, 6, 6), ForegroundCriterion(min_fraction=0.6))


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
        ("air", VolumeError, r"air.nii: ForegroundCriterion.* accepts none of 50"),
        ("nan", VolumeError, "nan.nii: 144 of 1728"),
        ("z", IntensityRangeError, "z.nii"),
        ("thin", VolumeError, r"thin.nii: its shape \(12, 12, 3\) is smaller than the cube \(6, 6, 6\)"),
        ("absent", VolumeError, "absent.nii: no such file"),
    ],
)
def test_the_first_bad_volume_stops(records, tmp_path, name, error, what):
    with pytest.raises(error, match=what):
        screen_volumes([records["good"], records[name]], preprocessing(), CUT, report=tmp_path / "r.csv")
    last = list(csv.DictReader((tmp_path / "r.csv").open()))[-1]
    assert f"{name}.nii" in last["file"] and last["error"]


def test_nothing_left_is_an_error(records):
    with pytest.raises(VolumeError, match="none of 2 volumes can be used. The first error: .*nan.nii"):
        screen_volumes([records["nan"], records["thin"]], preprocessing(), CUT, on_error="skip")
    with pytest.raises(VolumeError, match="a section of the datalist is empty"):
        screen_volumes([], preprocessing(), CUT)


def test_a_volumes_share_depends_on_no_other(records, tmp_path):
    def shares(names):
        screen_volumes([records[name] for name in names], preprocessing(), CUT, on_error="skip", report=tmp_path / "r")
        return {row["file"]: row["accepted"] for row in csv.DictReader((tmp_path / "r").open())}

    first, second = shares(["nan", "half", "good"]), shares(["good", "half"])
    assert first[records["half"]["image"]] == second[records["half"]["image"]]


def test_the_items_come_from_load_when_given(records):
    steps, asked = preprocessing(), []
    given = [records["good"], records["half"]]

    def load(i):
        asked.append(i)
        return steps(given[i])

    assert screen_volumes(given, load=load, crop=CUT) == given and asked == [0, 1]


def test_errors_that_are_no_volumes_fault_go_through(records):
    def load(i):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        screen_volumes([records["good"]], load=load, on_error="skip")


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
    with pytest.raises(VolumeError, match="ct-64.nrrd: the rule LungCriterion"):
        screen_volumes(records, preprocessing(), RandAcceptedCropd("image", (32, 32, 16), "lung"))


def test_usable_records_of_a_list(records, tmp_path, caplog):
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"training": [records["nan"], records["absent"], records["good"]], "test": []}))
    assert load_usable(path, "training", preprocessing(), "skip") == [records["good"]]
    assert "absent.nii" in caplog.text and "nan.nii" in caplog.text
    assert load_usable(path, "test", preprocessing()) == []
    assert "section 'test' is empty" in caplog.text


def test_no_volume_at_all(tmp_path):
    with pytest.raises(VolumeError, match="a section of the datalist is empty"):
        screen_volumes([], preprocessing())
