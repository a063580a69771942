"""Datalists read, checked, written and joined."""

import json
from pathlib import Path

import pytest

from medgenesis.data import datalist_header, join_datalists, load_datalist, read_datalist, write_datalist
from medgenesis.errors import DatalistError


def _write(path: Path, **sections) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": path.stem, "modality": "CT", **sections}))
    return path


def test_records_have_absolute_paths_and_keep_their_fields(tmp_path):
    for name in ("i.nii", "l.nii", "sub/c.npy"):
        (tmp_path / "lists" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lists" / name).touch()
    (tmp_path / "far.nii").touch()
    records = [
        {"image": "i.nii", "label": "l.nii", "patient": "p", "weight": 2.5},
        {"image": "./sub/c.npy", "cube": 3},
        {"image": ["../far.nii", str(tmp_path / "far.nii")]},
    ]
    path = _write(tmp_path / "lists/d.json", training=records, labels={"0": "background"}, label_merge={"1": [3]})
    here = tmp_path / "lists"
    assert load_datalist(path) == [
        {"image": f"{here}/i.nii", "label": f"{here}/l.nii", "patient": "p", "weight": 2.5},
        {"image": f"{here}/sub/c.npy", "cube": 3},
        {"image": [f"{tmp_path}/far.nii"] * 2},
    ]
    header = {"name": "d", "modality": "CT", "labels": {"0": "background"}, "label_merge": {"1": [3]}}
    assert datalist_header(path) == header


def test_absent_files_are_counted_and_the_first_named(tmp_path):
    (tmp_path / "a.nii").touch()
    path = _write(tmp_path / "d.json", training=[{"image": name} for name in ("a.nii", "b.nii", "c.nii", "b.nii")])
    with pytest.raises(
        DatalistError,
        match=r"d.json: the files of section 'training' must be there; found 2 of 3 absent.*b.nii, .*c.nii",
    ):
        load_datalist(path)


@pytest.mark.parametrize(
    "record, what",
    [
        ("x.nii", "object"),
        ({}, "object"),
        ({"image": 3}, "file name"),
        ({"image": "x", "label": [1]}, "file name"),
        ({"image": "x", "weight": 0}, "weight"),
        ({"image": "x", "weight": "2"}, "weight"),
        ({"image": "x", "weight": float("nan")}, "weight"),
        ({"image": "x", "cube": -1}, "cube"),
        ({"image": "x", "cube": 1.0}, "cube"),
    ],
)
def test_malformed_records(tmp_path, record, what):
    with pytest.raises(DatalistError, match=f"'test'.*{what}"):
        read_datalist(_write(tmp_path / "d.json", test=[record]))


def test_malformed_lists(tmp_path):
    with pytest.raises(DatalistError, match="absent.json: must be a datalist; found no file, .*medgenesis phantom"):
        read_datalist(tmp_path / "absent.json")
    (tmp_path / "half.json").write_text('{"training": [')
    with pytest.raises(DatalistError, match="half.json: cannot be read as a datalist"):
        read_datalist(tmp_path / "half.json")
    with pytest.raises(DatalistError, match="one of training"):
        read_datalist(_write(tmp_path / "none.json"))
    with pytest.raises(DatalistError, match="must be a list"):
        read_datalist(_write(tmp_path / "d.json", training={"image": "x"}))
    with pytest.raises(DatalistError, match="must have the section 'test'; found training"):
        load_datalist(_write(tmp_path / "d.json", training=[]), "test")


def test_written_names_are_relative_below_the_list_and_come_back(tmp_path):
    datalist = {
        "name": "d",
        "training": [{"image": str(tmp_path / "out/images/a.nii"), "label": str(tmp_path / "b.nii"), "patient": "p"}],
        "test": [],
    }
    write_datalist(datalist, tmp_path / "out/d.json")
    (record,) = json.loads((tmp_path / "out/d.json").read_text())["training"]
    assert record["image"] == "images/a.nii" and record["label"] == str(tmp_path / "b.nii")
    assert read_datalist(tmp_path / "out/d.json") == datalist
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["d.json"]


def test_a_list_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatalistError, match="file/d.json: cannot be written"):
        write_datalist({"training": []}, tmp_path / "file/d.json")


def test_data_sets_are_drawn_by_their_weights_whatever_their_sizes(tmp_path):
    small = _write(tmp_path / "a.json", training=[{"image": f"a{i}"} for i in range(3)], validation=[{"image": "av"}])
    large = _write(
        tmp_path / "b/b.json",
        training=[{"image": f"b{i}", "patient": f"b{i}", "weight": 1 + i % 2} for i in range(10)],
        modality="MR",
    )
    joined = join_datalists([(small, 3.0), (large, 1.0)], name="mix")
    weights = {Path(record["image"]).name: record["weight"] for record in joined["training"]}
    total = sum(weights.values())
    assert total == pytest.approx(13)  # mean 1
    assert sum(weights[f"a{i}"] for i in range(3)) / total == pytest.approx(0.75)
    assert weights["b1"] == pytest.approx(2 * weights["b0"])  # a list's own weights stay in proportion
    assert joined["validation"][0]["weight"] == 1 and joined["test"] == []
    assert joined["name"] == "mix" and "modality" not in joined
    assert joined["training"][-1]["image"] == str(tmp_path / "b/b9")


def test_joining_refuses_leaks_and_bad_weights(tmp_path):
    one = _write(tmp_path / "a.json", training=[{"image": "x", "patient": "p"}])
    other = _write(tmp_path / "b.json", test=[{"image": "y", "patient": "p"}])
    with pytest.raises(DatalistError, match="training and test"):
        join_datalists([(one, 1), (other, 1)])
    with pytest.raises(DatalistError, match="one above 0"):
        join_datalists([(one, 0)])


def test_records_of_absent_files_can_be_skipped_but_not_all_of_them(tmp_path, caplog):
    (tmp_path / "a.nii").touch()
    path = _write(tmp_path / "d.json", training=[{"image": "gone.nii"}, {"image": "a.nii"}], test=[{"image": "b.nii"}])
    assert load_datalist(path, on_error="skip") == [{"image": str(tmp_path / "a.nii")}]
    assert "1 records of 'training' skipped" in caplog.text and "gone.nii" in caplog.text
    with pytest.raises(DatalistError, match="files of section 'test' must be there; found 1 of 1 absent.*b.nii"):
        load_datalist(path, "test", on_error="skip")
