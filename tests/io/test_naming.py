"""Outputs never share a name: one rule, over the spellings that lists use."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from medgenesis.errors import DatalistError
from medgenesis.io.naming import OutputNames


def named(*images, cubes=()):
    records = [{"image": image} for image in images] or [{"image": "stack.npy", "cube": cube} for cube in cubes]
    return list(OutputNames(records).names.values())


def test_what_others_lose(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for uid in ("1.2.826.0.1.100.1", "1.2.826.0.1.100.2"):
        (tmp_path / "dcm" / uid).mkdir(parents=True)
    assert named("dcm/1.2.826.0.1.100.1", "dcm/1.2.826.0.1.100.2/") == ["1.2.826.0.1.100.1", "1.2.826.0.1.100.2"]
    assert named("scan.nii.gz", "scan.mha") == ["scan_nii_gz", "scan_mha"]
    assert named("scan.nii.gz", "SCAN.nii") == ["scan_nii_gz", "SCAN_nii"]
    assert named("IM.0001", "IM.0002") == ["IM.0001", "IM.0002"]
    assert named("scan.nii.gz", f"{tmp_path}/other.nii.gz") == ["scan", "other"]
    assert named(["a_0000.nii.gz", "a_0001.nii.gz"], ["b_0000.nii.gz", "b_0001.nii.gz"]) == ["a", "b"]
    assert named("a_0000.nii.gz") == ["a_0000"]
    assert named(cubes=(0, 1)) == ["stack_0", "stack_1"]
    assert named("a/ct.nii.gz", "b/ct.nii.gz") == ["a/ct", "b/ct"]
    assert named("a/ct.nii.gz", "a/../a/ct.nii.gz") == ["ct"]


def test_an_item_finds_its_name(tmp_path):
    names = OutputNames([{"image": str(tmp_path / "s.npy"), "cube": row} for row in (0, 1)])
    item = {"image": MetaTensor([[0.0]], meta={"filename_or_obj": str(tmp_path / "s.npy")}), "cube": 1}
    assert names.of(item) == "s_1"


def test_images_of_no_list_are_numbered(tmp_path):
    names = OutputNames([])
    items = [{"image": MetaTensor([[0.0]], meta={"filename_or_obj": f"/{folder}/s.nii"})} for folder in "abba"]
    assert [names.of(item) for item in items] == ["s", "s_1", "s_1", "s"]


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(DatalistError, match=r"must have a name of its own.*scan_nii.*Rename"):
        named("scan.nii", "scan.mha", "scan_nii.nii")


parts = st.text("ab._-é", min_size=1, max_size=4).filter(lambda text: text.strip("."))
suffixes = st.sampled_from([".nii", ".nii.gz", ".mha", ".NII.gz", "", ".png", ".dcm", ".0001"])
paths = st.builds(lambda folder, name, suffix: f"{folder}/{name}{suffix}", parts, parts, suffixes)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(paths, st.sampled_from([None, 0, 1])), min_size=1, max_size=6))
def test_never_two_images_under_one_name(found):
    records = [{"image": path, **({} if cube is None else {"cube": cube})} for path, cube in found]
    try:
        names = OutputNames(records).names
    except DatalistError:
        return
    inputs = {(os.path.normpath(path), cube) for path, cube in found}
    assert len(names) == len(inputs) == len({name.casefold() for name in names.values()})
    assert not any(name.startswith("../") or Path(name).is_absolute() for name in names.values())


@pytest.mark.parametrize("name", ["x" * 240, "ä" * 120, os.fsdecode(b"M\xfcller" * 40)])
def test_long_names_and_bytes_that_are_not_utf_8(name):
    (one, two) = (Path(found).name for found in named(f"a/{name}.nii.gz", f"b/{name}2.nii.gz"))
    assert one != two and all(len(os.fsencode(found)) <= 200 for found in (one, two))
    assert named(os.fsdecode(b"M\xfcller.nii")) == [os.fsdecode(b"M\xfcller")]


def test_series_of_one_folder_have_names_of_their_own(tmp_path):
    records = [{"image": str(tmp_path / "d"), "series": series} for series in ("a1", "b2")]
    (tmp_path / "d").mkdir()
    assert list(OutputNames(records).names.values()) == ["d_a1", "d_b2"]
    item = {**records[1], "image": MetaTensor([[0.0]], meta={"filename_or_obj": str(tmp_path / "d")})}
    assert OutputNames(records).of(item) == "d_b2"
