"""Lists of nnU-Net's preprocessed arrays: all cases, or those of a fold."""

import json
import logging

import numpy as np
import pytest
from helpers.nnunet import IDENTIFIER, write_dataset

from medgenesis.data import load_datalist, write_datalist
from medgenesis.data.nnunet import preprocessed_datalist
from medgenesis.errors import DatalistError


def cases(records):
    return [record["patient"] for record in records]


def test_all_cases_with_their_label_maps(tmp_path):
    folder = write_dataset(tmp_path / "D", 12) / IDENTIFIER
    listed = preprocessed_datalist(folder)
    assert len(listed["training"]) == 11 and len(listed["validation"]) == 1 and not listed["test"]
    assert listed["labels"] == {"0": "background", "1": "organ"}
    assert all(record["image"] == record["label"] for record in listed["training"])
    write_datalist(listed, tmp_path / "list.json")
    assert len(load_datalist(tmp_path / "list.json", "training")) == 11


def test_what_a_fold_validates_on_is_the_test_section(tmp_path):
    dataset = write_dataset(tmp_path / "D", 6)
    folds = [
        {"train": ["case_000", "case_001"], "val": ["case_002"]},
        {"train": ["case_001", "case_002"], "val": ["case_000"]},
    ]
    (dataset / "splits_final.json").write_text(json.dumps(folds))
    listed = preprocessed_datalist(dataset / IDENTIFIER, fold=1)
    assert cases(listed["test"]) == ["case_000"]
    assert sorted(cases(listed["training"] + listed["validation"])) == ["case_001", "case_002"]


def test_unpacked_arrays_and_blosc_have_label_maps_beside_them(tmp_path):
    for suffix in (".npy", ".b2nd"):
        folder = tmp_path / suffix / IDENTIFIER
        folder.mkdir(parents=True)
        for number in range(2):
            for end in ("", "_seg"):
                (folder / f"c{number}{end}{suffix}").write_bytes(b"x")
        (folder / "c0.pkl").write_bytes(b"x")
        records = preprocessed_datalist(folder)
        found = records["training"] + records["validation"]
        assert sorted(cases(found)) == ["c0", "c1"]
        assert all(record["label"].endswith(f"_seg{suffix}") for record in found)


def test_folders_and_folds_that_cannot_be_are_refused(tmp_path):
    dataset = write_dataset(tmp_path / "D", 2)
    folder = dataset / IDENTIFIER
    with pytest.raises(DatalistError, match="must be a folder; found none"):
        preprocessed_datalist(tmp_path / "absent")
    with pytest.raises(DatalistError, match="must hold .b2nd, .npy, .npz files; found none"):
        preprocessed_datalist(dataset)
    (tmp_path / "raw" / "imagesTr").mkdir(parents=True)
    with pytest.raises(DatalistError, match="found raw images"):
        preprocessed_datalist(tmp_path / "raw")
    with pytest.raises(DatalistError, match="must say which cases a fold trains on; found no file"):
        preprocessed_datalist(folder, fold=0)
    (dataset / "splits_final.json").write_text(json.dumps([{"train": ["case_000", "gone"], "val": ["case_001"]}]))
    with pytest.raises(DatalistError, match="must hold all cases of fold 0; found 1 absent, the first gone"):
        preprocessed_datalist(folder, fold=0)
    for fold in (1, -1):
        with pytest.raises(DatalistError, match="must be a list of folds"):
            preprocessed_datalist(folder, fold=fold)


def test_regions_are_said_to_have_no_names(tmp_path, caplog):
    dataset = write_dataset(tmp_path / "D", 2)
    (dataset / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "whole": [1, 2]}}))
    with caplog.at_level(logging.WARNING):
        assert "labels" not in preprocessed_datalist(dataset / IDENTIFIER)
    assert "has regions, whose names are left out" in caplog.text


def test_the_split_is_the_same_for_the_same_seed(tmp_path):
    folder = write_dataset(tmp_path / "D", 20) / IDENTIFIER
    drawn = [tuple(cases(preprocessed_datalist(folder, seed=seed)["validation"])) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 1
    assert np.load(folder / "case_000.npz")["seg"].min() == -1  # what stands for "no image" in nnU-Net
