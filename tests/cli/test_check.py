"""`medgenesis check`: everything wrong of a list in one go, nobody named on its page."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.nnunet import IDENTIFIER, plans, write_dataset, write_image

from medgenesis import bundles
from medgenesis.cli import main
from medgenesis.data.datalists import write_datalist
from medgenesis.data.nnunet import plan_of, preprocessed_datalist
from medgenesis.data.survey import survey_records
from medgenesis.storage.tables import read_table


def scan(seed, shape=(12, 10, 8)):
    return (np.random.default_rng(seed).normal(size=shape) * 300).astype(np.float32)


@pytest.fixture
def wrong_list(tmp_path, write_nifti):
    """A list with one fault of each kind."""
    label = np.zeros((12, 10, 8), np.uint8)
    label[:3], label[3:5] = 1, 7
    files = {
        "good": write_nifti("Meier_good.nii", scan(0), np.diag([2, 2, 3, 1])),
        "copy": write_nifti("copy.nii.gz", scan(0), np.diag([2, 2, 3, 1])),
        "turned": write_nifti("turned.nii", scan(0)[::-1], np.diag([-2, 2, 3, 1]).astype(float)),
        "nan": write_nifti("Meier_nan.nii", np.full((4, 4, 4), np.nan, np.float32)),
        "unit": write_nifti("unit.nii", np.random.default_rng(1).random((4, 4, 4)).astype(np.float32)),
        "label": write_nifti("label.nii", label, np.diag([2, 2, 3, 1])),
    }
    (tmp_path / "half.nii").write_bytes((tmp_path / "Meier_good.nii").read_bytes()[:900])
    training = [
        {"image": files["good"], "label": files["label"], "patient": "Meier^Anna"},
        {"image": files["copy"], "patient": "other"},
        {"image": files["nan"], "patient": "Meier^Anna"},
        {"image": str(tmp_path / "half.nii")},
        {"image": str(tmp_path / "absent.nii")},
    ]
    test = [{"image": files["unit"]}, {"image": files["turned"], "patient": "Meier^Anna"}]
    path = tmp_path / "wrong.json"
    header = {"labels": {"1": "liver", "7": "tumour"}, "label_merge": {"1": [1], "2": [9]}}
    path.write_text(json.dumps({**header, "training": training, "test": test}))
    return path


@pytest.mark.parametrize("workers", [0, 2])
def test_everything_wrong_is_said_in_one_go(wrong_list, tmp_path, capsys, workers):
    out = tmp_path / "out"
    assert main(["check", str(wrong_list), "--out", str(out), "--num-workers", str(workers), "-q"]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "3 of 7 records can be used" in text
    for i, file in ((3, "Meier_nan.nii"), (4, "half.nii"), (5, "absent.nii")):
        assert re.search(rf"training {i} \S*{file}: ", text)
    assert re.search(r"test 1 \S*unit.nii: values must fit preset 'ct'", text)
    assert "the same voxels in two sections: a leak training 1, training 2, test 2" in text
    assert "one patient in training and test: a leak training 1, training 3, test 2" in text
    assert re.search(r"1 1 liver 1 0 240 ", text) and re.search(
        r"7 background: left out by the merge tumour 1 0 160", text
    )
    assert "9 2: in no label map" in text
    rows = read_table(out / "records.csv")
    assert [bool(row["error"]) for row in rows] == [False, False, True, True, True, True, False]
    assert (
        rows[0]["spacing_mm"] == "2x2x3" and rows[0]["shape"] == "12x10x8" and rows[0]["labels"] == "0:560 1:240 7:160"
    )
    assert [row["axes"] for row in rows][::6] == ["RAS", "LAS"]
    page = (out / "check.html").read_text()
    assert not any(word in page for word in ("Meier", "absent.nii", str(tmp_path)))
    assert "training 5: must be a file" in page and page.count("<img") == 3


def test_percentiles_are_those_of_the_scaled_scan(wrong_list, tmp_path, capsys):
    main(["check", str(wrong_list), "--out", str(tmp_path / "out"), "--num-workers", "0", "-q"])
    row = read_table(tmp_path / "out" / "records.csv")[0]
    expected = np.percentile((scan(0).clip(-1000, 1000) + 1000) / 2000, (5, 50, 95))
    assert [float(row[f"percentile_{p}"]) for p in (5, 50, 95)] == pytest.approx(expected, rel=1e-3)


def test_a_list_without_fault_ends_well(tmp_path, write_nifti, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = [{"image": write_nifti(f"{i}.nii", scan(i)), "patient": str(i)} for i in range(3)]
    (tmp_path / "list.json").write_text(json.dumps({"training": records[:2], "validation": records[2:]}))
    cubes = ["--cube-size", "4", "--crop-criterion", "any"]
    assert main(["check", "list.json", "-q", "--num-workers", "0", "--drawn", "1", *cubes]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "3 of 3 records" in text and "random cubes accepted, % 100 100 100" in text and "leak" not in text
    assert (tmp_path / "list_check" / "check.html").read_text().count("<img") == 2


def test_a_bundle_says_what_is_checked(tmp_path, write_nifti, capsys):
    records = [{"image": write_nifti("0.nii", scan(0, (20, 20, 20)))}]
    (tmp_path / "list.json").write_text(json.dumps({"training": records}))
    words = [
        "check",
        str(tmp_path / "list.json"),
        "--bundle",
        "models_genesis_ct",
        "--out",
        str(tmp_path / "out"),
        "-q",
    ]
    main([*words, "--crop-criterion", "any", "--num-workers", "0", "--spacing-mm", "1"])
    assert "spacing 1.0 mm" in (text := capsys.readouterr().out) and "cubes [64, 64, 32] by the criterion any" in text


def test_what_is_no_list_is_wrong_usage(tmp_path, capsys):
    (tmp_path / "list.json").write_text('{"training": []}')
    assert main(["check", str(tmp_path / "list.json")]) == 2
    assert main(["check", str(tmp_path / "none.json")]) == 2
    assert main(["check", str(tmp_path / "list.json"), "--intensity", "nonsense"]) == 2


@pytest.mark.parametrize("words", [["--spacing-mm", "1", "2"], ["--spacing-mm", "-1"], ["--cube-size", "4", "0", "4"]])
def test_a_spacing_or_size_that_is_none_is_one_line(tmp_path, write_nifti, capsys, words):
    (tmp_path / "list.json").write_text(json.dumps({"training": [{"image": write_nifti("0.nii", scan(0))}]}))
    assert main(["check", str(tmp_path / "list.json"), "--out", str(tmp_path / "out"), *words]) == 2
    assert "must be one number above 0, or three; found" in capsys.readouterr().err and not (tmp_path / "out").exists()


def killed_by_one(record):
    if record["image"] == "kills":
        os._exit(9)
    raise ValueError("read")


def test_a_file_that_kills_its_process_is_named_and_the_others_are_read():
    records = [{"image": name} for name in ("a.nii", "b.nii", "kills", "d.nii", "e.nii")]
    found = list(survey_records(records, killed_by_one, None, draw=None, num_workers=2))
    assert [one.error for one in found if "killed" not in one.error] == [
        f"{name}: unexpected ValueError, read" for name in ("a.nii", "b.nii", "d.nii", "e.nii")
    ]
    assert found[2].error.startswith("kills: the process")


@pytest.fixture
def planned(tmp_path):
    """A bundle of nnU-Net's plans, two channels, and the list of six arrays that they preprocessed."""
    plan = plan_of(plans(channels=2), source="plans")
    bundle = bundles.copy_planned("models_genesis_ct", tmp_path / "b", plan, "nnUNetPlans.json")
    datalist = preprocessed_datalist(write_dataset(tmp_path / "D", 6, channels=2) / IDENTIFIER)
    write_datalist(datalist, tmp_path / "list.json")
    return bundle, tmp_path / "list.json"


@pytest.mark.parametrize("task", ["pretrain", "finetune"])
def test_a_planned_bundle_reads_as_its_plans_say(planned, tmp_path, capsys, task):
    bundle, datalist = planned
    words = ["check", str(datalist), "--bundle", str(bundle), "--task", task, "--out", str(tmp_path / "out")]
    assert main([*words, "--num-workers", "0", "-q"]) == 0
    text = capsys.readouterr().out
    assert "6 of 6 records can be used" in text and "spacing [2.0, 1.0, 1.0] mm" in text
    assert "cubes [8, 16, 12] by the criterion any" in text and "end of the scale" not in text
    rows = {Path(row["file"]).name: row for row in read_table(tmp_path / "out" / "records.csv")}
    for path in (tmp_path / "D" / IDENTIFIER).glob("*.npz"):
        stored, row = np.load(path), rows[path.name]
        found = [float(row[f"percentile_{p}"]) for p in (5, 50, 95)]
        assert found == pytest.approx(np.percentile(stored["data"], (5, 50, 95)), rel=2e-3)
        assert row["labels"] == f"0:{(stored['seg'] <= 0).sum()} 1:{(stored['seg'] == 1).sum()}"
        assert (row["shape"], row["spacing_mm"], row["channels"]) == ("10x20x14", "2x1x1", "2")
    assert (tmp_path / "out" / "check.html").read_text().count("<img") == 6


def test_raw_images_go_through_the_plans_of_a_bundle(tmp_path, capsys):
    bundles.copy_planned("models_genesis_ct", tmp_path / "b", plan_of(plans(), source="plans"), "nnUNetPlans.json")
    write_image(tmp_path / "raw.nii.gz", spacing=(1.0, 1.0, 1.0))  # (14, 20, 10), of which a box (11, 17, 9) is not 0
    (tmp_path / "list.json").write_text(json.dumps({"training": [{"image": "raw.nii.gz"}], "modality": "CT"}))
    words = ["check", str(tmp_path / "list.json"), "--bundle", str(tmp_path / "b"), "--out", str(tmp_path / "out")]
    assert main([*words, "--num-workers", "0", "-q"]) == 0, capsys.readouterr()
    (row,) = read_table(tmp_path / "out" / "records.csv")
    assert row["shape"] in ("4x17x11", "5x17x11") and row["spacing_mm"] == "2x1x1"


def test_arrays_without_their_plans_and_words_against_plans_are_refused(planned, tmp_path, capsys):
    bundle, datalist = planned
    for words in ([], ["--bundle", "models_genesis_ct"]):
        assert main(["check", str(datalist), "--out", str(tmp_path / "out"), *words]) == 2
        assert f"({IDENTIFIER}); found none. Give --bundle of their plans" in capsys.readouterr().err
    for words in (["--intensity", "ct"], ["--spacing-mm", "1"]):
        assert main(["check", str(datalist), "--bundle", str(bundle), "--out", str(tmp_path / "out"), *words]) == 2
        assert f"{words[0]}: must be left to the plans" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
