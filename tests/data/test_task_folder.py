"""Folders of the Decathlon and of nnU-Net, by their dataset.json."""

import json

import pytest

from medgenesis.data import make_datalist
from medgenesis.errors import DatalistError

LABELS = {"0": "background", "1": "liver", "2": "cancer"}


def _task(root, said, images, labels):
    for folder, names in (("imagesTr", images), ("labelsTr", labels), ("imagesTs", ["t_0000", "t_0001"])):
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / f"{name}.nii.gz").touch()
    (root / "dataset.json").write_text(json.dumps(said), encoding="utf-8-sig")
    return root


@pytest.mark.parametrize("version", [1, 2])
def test_channels_labels_and_names_of_nnunet(tmp_path, version, caplog):
    if version == 1:
        said = {"modality": {"0": "FLAIR", "1": "T1w"}, "labels": LABELS, "numTraining": 3, "numTest": 1}
    else:
        names = {name: int(label) for label, name in LABELS.items()}
        said = {
            "channel_names": {"0": "FLAIR", "1": "T1w"},
            "labels": names,
            "numTraining": 3,
            "file_ending": ".nii.gz",
        }
    images = [f"BRATS_{case:03}_000{channel}" for case in range(3) for channel in range(2)]
    root = _task(tmp_path / "Dataset001_X", said, images, [f"BRATS_{case:03}" for case in range(3)])
    datalist = make_datalist(root, splits=(1, 0, 0))
    assert datalist["labels"] == LABELS
    assert datalist["modality"] == {"0": "FLAIR", "1": "T1w"}
    assert [record["patient"] for record in datalist["training"]] == ["BRATS_000", "BRATS_001", "BRATS_002"]
    for record in datalist["training"]:
        assert [name[-12:] for name in record["image"]] == ["_0000.nii.gz", "_0001.nii.gz"]
        assert record["label"].endswith(f"labelsTr/{record['patient']}.nii.gz")
    assert "imagesTs: not listed" in caplog.text
    assert make_datalist(root / "imagesTr", root / "labelsTr", splits=(1, 0, 0)) == datalist
    (root / "imagesTr" / "BRATS_001_0001.nii.gz").unlink()
    with pytest.raises(DatalistError, match="BRATS_001: must have the channels _0000, _0001"):
        make_datalist(root, splits=(1, 0, 0))


def test_one_file_a_scan_where_more_channels_are_said(tmp_path):
    said = {"channel_names": {"0": "FLAIR", "1": "T1w"}, "labels": {"background": 0}, "file_ending": ".nii.gz"}
    root = _task(tmp_path, said, ["a_0000", "b_0000"], ["a", "b"])
    with pytest.raises(DatalistError, match="must hold 2 file.s. a scan.*found scans of 1"):
        make_datalist(root)


def test_scans_that_are_said_and_not_there(tmp_path, caplog):
    root = _task(
        tmp_path, {"modality": {"0": "CT"}, "labels": LABELS, "numTraining": 4}, ["l_1", "l_2"], ["l_1", "l_2"]
    )
    make_datalist(root, splits=(1, 0, 0))
    assert "says 4 training scans, found 2" in caplog.text


def test_channels_that_are_kept_separate(tmp_path):
    said = {"channel_names": {"0": "FLAIR", "1": "T1w"}, "labels": {"background": 0, "x": 1}, "file_ending": ".nii.gz"}
    root = _task(tmp_path, said, ["a_0000", "a_0001", "b_0000", "b_0001"], ["a", "b"])
    records = make_datalist(root, splits=(1, 0, 0), channels="separate")["training"]
    pairs = sorted((record["image"][-13:-7], record["label"][-8:-7], record["patient"]) for record in records)
    assert pairs == [(f"{case}_000{channel}", case, case) for case in "ab" for channel in range(2)]


def test_a_given_name_goes_before_that_of_the_task(tmp_path):
    root = _task(tmp_path, {"name": "Liver", "modality": {"0": "CT"}, "labels": LABELS}, ["l_1"], ["l_1"])
    given, said = (make_datalist(root, splits=(1, 0, 0), name=name) for name in ("mine", None))
    assert given["name"] == "mine" and said["name"] == "Liver"


def test_groups_of_labels_are_named_and_left_out(tmp_path, caplog):
    labels = {"background": 0, "whole tumour": [1, 2], "edema": 1, "core": 2, "3": ["x"]}
    said = {"channel_names": {"0": "T1"}, "labels": labels, "file_ending": ".nii.gz"}
    root = _task(tmp_path, said, ["a_0000"], ["a"])
    assert make_datalist(root, splits=(1, 0, 0))["labels"] == {"0": "background", "1": "edema", "2": "core"}
    assert "'whole tumour' is a group" in caplog.text and "'3' is a group" in caplog.text
