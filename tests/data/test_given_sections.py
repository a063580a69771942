"""Splits that folders give are kept, and said."""

import json

import pytest

from medgenesis.data import make_datalist
from medgenesis.errors import DatalistError

COUNTS = {"train": 4, "val": 2, "test": 3}


def _files(root, folders, suffix=".nii.gz"):
    for folder, names in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / folder / f"{name}{suffix}").touch()
    return root


def _patients(datalist):
    return {
        section: sorted(one["patient"] for one in datalist[section]) for section in ("training", "validation", "test")
    }


@pytest.mark.parametrize("form", ["{}", "{}/images"])
def test_train_val_and_test_are_kept(tmp_path, form, caplog):
    caplog.set_level("INFO")
    own = {name: [f"{name}_p{number}" for number in range(count)] for name, count in COUNTS.items()}
    root = _files(tmp_path / "x", {form.format(name): names for name, names in own.items()})
    if form != "{}":
        _files(root, {f"{name}/labels": names for name, names in own.items()})
    found = make_datalist(root)
    assert _patients(found) == {"training": own["train"], "validation": own["val"], "test": own["test"]}
    assert "the split is that of the folders" in caplog.text
    assert all(("label" in record) == (form != "{}") for record in found["test"])


def test_a_validation_that_is_lacking_comes_from_training_alone(tmp_path, caplog):
    root = _files(tmp_path, {"training": [f"p{n}" for n in range(20)], "testing": ["q1", "q2"]})
    found = _patients(make_datalist(root))
    assert found["test"] == ["q1", "q2"] and len(found["validation"]) == 2 and len(found["training"]) == 18
    assert "2 of 20 training patients taken" in caplog.text


def test_classes_are_the_folders_within_the_sections(tmp_path):
    root = _files(
        tmp_path, {f"{a}/{b}": [f"{a}_{b}_{n}" for n in range(3)] for a in COUNTS for b in ("ILL", "WELL")}, ".png"
    )
    found = make_datalist(root, classes=[])
    assert found["class_names"] == ["ILL", "WELL"]
    assert [record["class"] for record in found["test"]] == [0, 0, 0, 1, 1, 1]


def test_what_a_split_of_folders_must_not_have(tmp_path, caplog):
    root = _files(tmp_path, {"train": ["a", "b_t0", "c"], "val": ["d"], "test": ["b_t1"]})
    with pytest.raises(DatalistError, match="1 patient.s. in both training and test, the first b"):
        make_datalist(root)
    _files(root, {"more": ["e"]})
    with pytest.raises(DatalistError, match="all scans must lie in test, train, val.*1 beside them, the first more/e"):
        make_datalist(root)
    assert len(make_datalist(root, splits=(1, 0, 0))["training"]) == 6
    assert "not kept, as --splits is given" in caplog.text


def test_the_test_section_of_nnunet(tmp_path, caplog):
    root = _files(tmp_path, {"imagesTr": [f"c{n}_0000" for n in range(5)], "labelsTr": [f"c{n}" for n in range(5)]})
    _files(root, {"imagesTs": ["t1_0000", "t2_0000"], "labelsTs": ["t1", "t2"]})
    said = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "x": 1},
        "numTraining": 5,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(said))
    found = make_datalist(root)
    assert _patients(found)["test"] == ["t1", "t2"] and len(found["training"]) == 4 and len(found["validation"]) == 1
    assert found["test"][0]["label"].endswith("labelsTs/t1.nii.gz") and "says 5" not in caplog.text
