"""Folds by patient: everybody is held out once, with all of their records."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgenesis.cli import main
from medgenesis.data.folds import in_fold, patient_folds
from medgenesis.errors import DatalistError

OWNERS = st.lists(st.integers(0, 30), min_size=2, max_size=40)


@given(OWNERS, st.integers(2, 6), st.integers(0, 3))
def test_a_patient_is_in_one_fold_and_folds_are_even(owners, count, seed):
    records = [{"image": f"{i}.nii", "patient": str(owner)} for i, owner in enumerate(owners)]
    if count > len(set(owners)):
        with pytest.raises(DatalistError, match="folds: must be"):
            patient_folds(records, count, seed)
        return
    folds = patient_folds(records, count, seed)
    fold_of = {}
    for owner, fold in zip(owners, folds, strict=True):
        assert fold_of.setdefault(owner, fold) == fold
    sizes = Counter(fold_of.values())
    assert set(sizes) == set(range(count)) and max(sizes.values()) - min(sizes.values()) <= 1
    assert patient_folds(records[::-1], count, seed) == folds[::-1], "whatever the order of the list"


def test_classes_are_dealt_out_by_themselves():
    records = [{"image": f"{i}", "patient": str(i), "class": int(i < 4)} for i in range(12)]
    folds = patient_folds(records, 4)
    assert Counter(fold for fold, record in zip(folds, records, strict=True) if record["class"]) == dict.fromkeys(
        range(4), 1
    )


def test_the_lists_of_all_folds_hold_each_patient_out_once():
    records = [{"image": f"{i}", "label": "l", "patient": str(i // 2)} for i in range(12)]
    more = {
        "test": [{"image": "t", "patient": "t"}],
        "unlabeled": [{"image": "u", "patient": "0"}, {"image": "v", "patient": "9"}],
    }
    made = [in_fold({"training": records[:8], "validation": records[8:], **more}, 3, fold) for fold in range(3)]
    held_out = [record["image"] for one in made for record in one["validation"]]
    assert sorted(held_out, key=int) == [record["image"] for record in records]
    for one in made:
        assert not {r["patient"] for r in one["training"]} & {r["patient"] for r in one["validation"]}
        assert one["test"] == more["test"]
        unseen = {r["patient"] for r in one["validation"]}
        assert [r["image"] for r in one["unlabeled"]] == (["v"] if "0" in unseen else ["u", "v"])
    with pytest.raises(DatalistError, match="fold: must be from 0 to 2"):
        in_fold({"training": records}, 3, 3)


def test_the_command_makes_the_list_of_a_fold(tmp_path, write_nifti, capsys):
    import numpy as np

    for folder in ("ct", "seg"):
        (tmp_path / folder).mkdir()
        for i in range(6):
            write_nifti(f"{folder}/p{i}.nii.gz", np.zeros((4, 4, 4), np.int16))
    made = ["datalist", "--images", str(tmp_path / "ct"), "--labels", str(tmp_path / "seg"), "--splits", "1", "0", "0"]
    out = tmp_path / "list.json"
    assert main([*made, "--folds", "3", "--fold", "1", "--out", str(out)]) == 0
    listed = json.loads(out.read_text())
    assert [len(listed[section]) for section in ("training", "validation")] == [4, 2]
    assert main([*made, "--folds", "3", "--out", str(out)]) == 2
    assert "--folds: must be given with --fold" in capsys.readouterr().err
