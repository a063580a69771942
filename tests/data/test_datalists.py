"""Datalists read, checked and written."""

import errno
import json
import os
from pathlib import Path

import pytest
from helpers.lists import write_list

from medgenesis.data import datalist_header, join_datalists, load_datalist, read_datalist, write_datalist
from medgenesis.data.list_warnings import _once
from medgenesis.errors import DatalistError, OutputError


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
    path = write_list(tmp_path / "lists/d.json", training=records, labels={"0": "background"}, label_merge={"1": [3]})
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
    path = write_list(tmp_path / "d.json", training=[{"image": name} for name in ("a.nii", "b.nii", "c.nii", "b.nii")])
    with pytest.raises(
        DatalistError,
        match=r"d.json: the files of section 'training' must be there; found 2 of 3 absent.*b.nii, .*c.nii",
    ):
        load_datalist(path)


@pytest.mark.parametrize(
    "record, what",
    [
        (3, "object"),
        ("", "object"),
        ({"image": ["a", " "]}, "file name"),
        ({"image": "x", "patient": {"_target_": "os.system"}}, "patient"),
        ({"image": "x", "series": 3}, "series"),
        ({}, "object"),
        ({"image": 3}, "file name"),
        ({"image": "x", "label": [1]}, "file name"),
        ({"image": "x", "label": []}, "file name"),
        ({"image": [], "label": "x"}, "object"),
        ({"image": "x.nii", "label": "x.nii"}, "another file"),
        ({"image": "b/c0.png", "label": "./b/c0.png"}, "another file"),
        ({"image": ["c0.png", "c1.png"], "label": "b/../c1.png"}, "another file"),
        ({"image": "x", "weight": 0}, "weight"),
        ({"image": "x", "weight": "2"}, "weight"),
        ({"image": "x", "weight": float("nan")}, "weight"),
        ({"image": "x", "cube": -1}, "cube"),
        ({"image": "x", "cube": 1.0}, "cube"),
    ],
)
def test_malformed_records(tmp_path, record, what):
    with pytest.raises(DatalistError, match=f"'test'.*{what}"):
        read_datalist(write_list(tmp_path / "d.json", test=[record]))


def test_malformed_lists(tmp_path):
    with pytest.raises(DatalistError, match="absent.json: must be a datalist; found no file, .*medgenesis phantom"):
        read_datalist(tmp_path / "absent.json")
    (tmp_path / "half.json").write_text('{"training": [')
    with pytest.raises(DatalistError, match="half.json: cannot be read as a datalist"):
        read_datalist(tmp_path / "half.json")
    with pytest.raises(DatalistError, match="one of training"):
        read_datalist(write_list(tmp_path / "none.json"))
    with pytest.raises(DatalistError, match="must be a list"):
        read_datalist(write_list(tmp_path / "d.json", training={"image": "x"}))
    with pytest.raises(DatalistError, match="must have the section 'test'; found training"):
        load_datalist(write_list(tmp_path / "d.json", training=[]), "test")


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


def test_a_list_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: must be a folder; found a file"):
        write_datalist({"training": []}, tmp_path / "file/d.json")

    def full(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match=r"d.json: cannot be written \(No space left on device\)") as raised:
        write_datalist({"training": []}, tmp_path / "d.json")
    assert str(raised.value).count("cannot be written") == 1


def test_records_of_absent_files_can_be_skipped_but_not_all_of_them(tmp_path, caplog):
    (tmp_path / "a.nii").touch()
    path = write_list(
        tmp_path / "d.json", training=[{"image": "gone.nii"}, {"image": "a.nii"}], test=[{"image": "b.nii"}]
    )
    assert load_datalist(path, on_error="skip") == [{"image": str(tmp_path / "a.nii")}]
    assert "1 records of 'training' skipped" in caplog.text and "gone.nii" in caplog.text
    with pytest.raises(DatalistError, match="files of section 'test' must be there; found 1 of 1 absent.*b.nii"):
        load_datalist(path, "test", on_error="skip")


def test_a_decathlon_list_reads_as_it_is(tmp_path, caplog):
    path = write_list(tmp_path / "dataset.json", training=[{"image": "./a.nii", "label": "./l.nii"}], test=["./t.nii"])
    path.write_text(path.read_text().replace('"name"', '"numTraining": 2, "name"'))
    (tmp_path / "t.nii").touch()
    assert load_datalist(path, "test") == [{"image": f"{tmp_path}/t.nii"}]
    assert "says numTraining 2, found 1" in caplog.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_unicode_encoding(tmp_path, encoding):
    (tmp_path / "Müller.nii").touch()
    path = tmp_path / "d.json"
    path.write_text('{"training": ["Müller.nii"]}', encoding=encoding)
    assert load_datalist(path) == [{"image": f"{tmp_path}/Müller.nii"}]


def test_latin_bytes_in_names_and_lists(tmp_path):
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    folder.mkdir()
    (folder / "a.nii").touch()
    (tmp_path / "raw.json").write_bytes(b'{"training": ["M\xfcller/a.nii"]}')
    write_datalist({"training": [{"image": str(folder / "a.nii"), "patient": folder.name}]}, tmp_path / "d.json")
    for name in ("raw.json", "d.json"):
        assert load_datalist(tmp_path / name)[0]["image"] == str(folder / "a.nii")


def test_names_too_long_and_names_twice(tmp_path):
    with pytest.raises(DatalistError, match="found 1 of 1 absent"):
        load_datalist(write_list(tmp_path / "d.json", training=[{"image": "x" * 300}]))
    (tmp_path / "twice.json").write_text('{"training": [], "training": ["x"]}')
    with pytest.raises(DatalistError, match="twice.json: cannot be read.*'training' twice"):
        read_datalist(tmp_path / "twice.json")


def test_unlabeled_is_read_with_training_where_asked(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.nii").touch()
    path = write_list(tmp_path / "d.json", training=[{"image": "a.nii"}], unlabeled=[{"image": "b.nii"}])
    assert [len(load_datalist(path, unlabeled=more)) for more in (False, True)] == [1, 2]
    assert len(load_datalist(path, "unlabeled")) == 1
    both = join_datalists([(path, 1), (path, 3)])
    assert len(both["unlabeled"]) == 2 and [r["weight"] for r in both["unlabeled"]] == [0.5, 1.5]
    write_datalist(both, tmp_path / "both.json")
    assert json.loads((tmp_path / "both.json").read_text())["unlabeled"][0]["image"] == "b.nii"


def test_the_dataset_json_of_nnunet(tmp_path):
    with pytest.raises(DatalistError, match="dataset.json of nnU-Net. Make one by `medgenesis datalist --images"):
        read_datalist(write_list(tmp_path / "dataset.json", channel_names={"0": "CT"}, file_ending=".nii.gz"))
    for channel in range(3):
        (tmp_path / f"a_000{channel}.nii.gz").touch()
    (tmp_path / "b_0000.nii.gz").touch()
    path = write_list(tmp_path / "v1.json", training=[{"image": "./a.nii.gz"}, {"image": "./b.nii.gz"}])
    images = [record["image"] for record in load_datalist(path)]
    assert images == [[f"{tmp_path}/a_000{channel}.nii.gz" for channel in range(3)], f"{tmp_path}/b_0000.nii.gz"]
    unasked = [f"{tmp_path}/a.nii.gz", f"{tmp_path}/b.nii.gz"]
    assert [record["image"] for record in read_datalist(path)["training"]] == unasked


def test_channel_files_of_names_with_dots_and_where_lists_are_compared(tmp_path):
    names = [f"TCGA-02-0003_2001.01.01_000{channel}.nii.gz" for channel in range(2)]
    for name in names:
        (tmp_path / name).touch()
    by_case = write_list(tmp_path / "case.json", training=[{"image": "TCGA-02-0003_2001.01.01.nii.gz"}])
    by_file = write_list(tmp_path / "file.json", test=[{"image": names}])
    assert load_datalist(by_case) == [{"image": [str(tmp_path / name) for name in names]}]
    with pytest.raises(DatalistError, match="training and test"):
        join_datalists([(by_case, 1), (by_file, 1)])


def test_strings_of_a_list_stay_strings(tmp_path):
    name = "$__import__('os').system('x')"
    (tmp_path / name).touch()
    record = {"image": name, "patient": "@network", "_target_": "os.system"}
    (loaded,) = load_datalist(write_list(tmp_path / "d.json", training=[record]))
    assert loaded == {**record, "image": f"{tmp_path}/{name}"} and all(type(value) is str for value in loaded.values())


@pytest.fixture
def warned_of(tmp_path, caplog):
    """what is said of a list with such sections"""
    _once.cache_clear()

    def read(**sections):
        read_datalist(write_list(tmp_path / "d.json", **sections))
        return caplog.text

    yield read
    _once.cache_clear()


def test_keys_and_sections_that_nothing_reads_are_named(warned_of):
    said = warned_of(
        training=[{"image": "a.nii", "lable": "l.nii"}, {"image": "b.nii", "lable": "m.nii", "fold": 0}],
        val=[{"image": "c.nii"}],
        labels=["background", "liver"],
    )
    assert "keys that nothing reads: lable (2 records), fold (1 records)" in said
    assert "the section 'val' is not read, 1 records" in said and said.count("WARNING") == 2


@pytest.mark.parametrize(
    "held_out, kinds",
    [
        ({"image": "b.nii", "patient": "p1"}, ["patient"]),  # P01 of the training
        ({"image": "b.nii", "patient": 1}, []),
        ({"image": "a.nii", "patient": "q"}, ["scan"]),
        ({"image": ["c.nii", "./a.nii"], "patient": "P01"}, ["patient", "scan"]),
        ({"image": "a.nii", "cube": 1, "patient": "q"}, []),
    ],
)
@pytest.mark.parametrize("section", ["validation", "test"])
def test_what_two_sections_share_is_said_without_names(warned_of, held_out, kinds, section):
    said = warned_of(training=[{"image": "a.nii", "patient": "P01"}], **{section: [held_out]})
    assert [kind for kind in ("patient", "scan") if f"training and {section} share 1 {kind}(s)" in said] == kinds
    assert "P01" not in said and "p1" not in said


def test_training_and_unlabelled_scans_may_share_patients(warned_of):
    records = [{"image": "a.nii", "patient": "p"}]
    assert not warned_of(training=records, unlabeled=[{"image": "b.nii", "patient": "p"}])
    assert "unlabeled and validation share" not in warned_of(unlabeled=records)
    assert "share 1 patient(s)" in warned_of(validation=records, unlabeled=[{"image": "b.nii", "patient": "p"}])
