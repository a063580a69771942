"""`medgenesis datalist`: from a folder to a list that loads, joined lists, the check for leaks."""

import argparse
import json
import re

import numpy as np
import pytest

from medgenesis.cli import datalist
from medgenesis.data import datalist_header, load_datalist
from medgenesis.errors import DatalistError


def _run(*arguments):
    parser = argparse.ArgumentParser()
    datalist.add_arguments(parser)
    datalist.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def folder(tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        for patient in range(10):
            for visit in "ab":
                np.save(tmp_path / kind / f"p{patient}{visit}.npy", np.zeros((2, 2, 2)))
    return tmp_path


def _make(folder, name, seed=0):
    out = folder / f"{name}.json"
    _run("--images", folder / "images", "--labels", folder / "labels", "--out", out, "--seed", seed, "--name", name,
         "--patient-pattern", r"p\d", "--label-merge", "1=10-14", "2=3,5", "--label-names", "1=lungs")  # fmt: skip
    return out


def test_from_a_folder(folder):
    out = _make(folder, "one")
    sections = {name: load_datalist(out, name) for name in ("training", "validation", "test")}
    assert [len(records) for records in sections.values()] == [16, 2, 2]
    assert all(record["image"].replace("images", "labels") == record["label"] for record in sections["training"])
    header = datalist_header(out)
    assert header["label_merge"] == {"1": [10, 11, 12, 13, 14], "2": [3, 5]}
    assert header["name"] == "one" and header["labels"]["1"] == "lungs"
    assert out.read_text() == _make(folder, "one").read_text()


def test_join_and_check(folder, caplog):
    caplog.set_level("INFO")
    one, other = _make(folder, "one"), _make(folder, "other", seed=2)
    _run("--join", f"{one}:3", one, "--out", folder / "both.json")
    weights = [record["weight"] for record in json.loads((folder / "both.json").read_text())["training"]]
    assert weights[:16] == pytest.approx([1.5] * 16) and weights[16:] == pytest.approx([0.5] * 16)
    _run("--join", one, one, "--without-labels", "--out", folder / "bare.json")
    assert not any("label" in record for record in load_datalist(folder / "bare.json"))
    _run("--check", one, one)
    assert "no test patient" in caplog.text
    with pytest.raises(DatalistError, match="pre-training and the test section"):
        _run("--check", one, other)


def test_the_lists_of_chestxray14(tmp_path):
    (tmp_path / "00000007_000.png").touch()
    (tmp_path / "list.txt").write_text("00000007_000.png" + " 1" * 14 + "\n")
    given = ["--images", tmp_path, "--chestxray14", tmp_path / "list.txt", "--out", tmp_path / "x.json"]
    _run(*given, "--splits", 1, 0, 0)
    (record,) = load_datalist(tmp_path / "x.json")
    assert record["classes"] == [1] * 14 and record["patient"] == "00000007"
    assert datalist_header(tmp_path / "x.json")["name"] == "ChestX-ray14"
    with pytest.raises(ValueError, match="takes no --labels"):
        _run(*given, "--labels", tmp_path)


def test_published_data_sets_by_name(tmp_path, caplog):
    caplog.set_level("INFO")
    for fold in range(10):
        path = tmp_path / f"subset{fold}" / f"{fold}.mhd"
        path.parent.mkdir()
        path.touch()
    _run("--dataset", "luna16", tmp_path, "--out", tmp_path / "x.json", "--name", "mine")
    assert [record["patient"] for record in load_datalist(tmp_path / "x.json", "test")] == ["7", "8", "9"]
    assert datalist_header(tmp_path / "x.json")["name"] == "mine"
    with pytest.raises(ValueError, match="--dataset luna16: takes no --splits, --seed"):
        _run("--dataset", "luna16", tmp_path, "--out", tmp_path / "y.json", "--splits", 1, 0, 0, "--seed", 1)
    with pytest.raises(ValueError, match="dataset: must be one of .*luna16"):
        _run("--dataset", "luna", tmp_path, "--out", tmp_path / "y.json")
    _run("--images", tmp_path, "--layout", "luna16", "--out", tmp_path / "old.json")
    assert "is now --dataset luna16" in caplog.text
    assert load_datalist(tmp_path / "old.json") == load_datalist(tmp_path / "x.json")
    _run("--datasets")
    assert "chestxray14" in caplog.text and "luna16" in caplog.text


def test_scans_may_have_a_preset_of_their_own(folder):
    _run("--images", folder / "images", "--out", folder / "x.json", "--intensity", "xray")
    assert {record["intensity"] for record in load_datalist(folder / "x.json")} == {"xray"}
    with pytest.raises(ValueError, match="preset: must be one of"):
        _run("--images", folder / "images", "--out", folder / "y.json", "--intensity", "pet")


@pytest.mark.parametrize(
    "arguments, what",
    [
        (["--images", "."], "--out"),
        (["--images", ".", "--out", "x.json", "--label-merge", "lung"], "NUMBER=VALUE"),
        (["--images", "absent", "--out", "x.json"], "absent: must be a folder"),
        (["--images", ".", "--without-labels", "--out", "x.json"], "--without-labels: must be given with --join"),
        (["--join", "absent.json:2", "--out", "x.json"], "absent.json: must be a datalist"),
    ],
)
def test_bad_arguments(arguments, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=what):
        _run(*arguments)
    assert not list(tmp_path.iterdir())


def test_a_decathlon_list_without_validation_says_how_to_get_one(tmp_path):
    for kind in ("imagesTr", "labelsTr"):
        (tmp_path / kind).mkdir()
        for case in range(4):
            np.save(tmp_path / kind / f"liver_{case}.npy", np.zeros((2, 2, 2)))
    pairs = [{key: f"./{key}sTr/liver_{case}.npy" for key in ("image", "label")} for case in range(4)]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": pairs, "test": []}))
    with pytest.raises(DatalistError, match="must have the section 'validation'; found training, test") as raised:
        load_datalist(tmp_path / "dataset.json", "validation")
    command = re.search(r"`medgenesis datalist (.+?)`", str(raised.value))[1]
    new = str(tmp_path / "new.json")
    _run(*command.replace("DIR", str(tmp_path)).replace("NEW.json", new).split())  # as it is written there
    assert [len(load_datalist(new, section)) for section in ("training", "validation")] == [3, 1]
