"""Datalists made from folders, of files and of DICOM series."""

import json

import numpy as np
import pytest

from medgenesis.data import make_datalist
from medgenesis.errors import DatalistError


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def _records(datalist):
    return [record for section in ("training", "validation", "test") for record in datalist[section]]


def test_every_kind_of_file_is_found_once(tmp_path, write_series):
    names = ["a.nii", "b.nii.gz", "c.mhd", "c.raw", "deep/d.nrrd", "e.PNG", ".hidden.nii", "notes.txt", ".git/x.nii"]
    images = _touch(tmp_path / "images", *names)
    np.save(images / "f.npy", np.zeros((2, 3, 4)))
    write_series("images/scans/s1", np.zeros((3, 2, 2)), [(0, 0, i) for i in range(3)])
    datalist = make_datalist(images, splits=(1, 0, 0))
    found = {record["image"].removeprefix(f"{images}/"): record["patient"] for record in datalist["training"]}
    hashed = found.pop("scans/s1")
    assert found == {
        "a.nii": "a", "b.nii.gz": "b", "c.mhd": "c", "deep/d.nrrd": "deep", "e.PNG": "e", "f.npy": "f"
    }  # fmt: skip
    assert len(hashed) == 12 and "secret-17" not in json.dumps(datalist) and "Doe" not in json.dumps(datalist)


def test_one_series_folder_is_one_scan(write_series):
    folder = write_series("s", np.zeros((3, 2, 2)), [(0, 0, i) for i in range(3)])
    (record,) = make_datalist(folder, splits=(1, 0, 0))["training"]
    assert record["image"] == str(folder)


def test_series_of_one_patient_stay_together(write_series, tmp_path):
    for i in range(6):
        identity = f"id{i // 2}"
        write_series(f"all/{i}", np.zeros((1, 2, 2)), [(0, 0, 0)], PatientID=identity)
    datalist = make_datalist(tmp_path / "all", splits=(0.4, 0.3, 0.3))
    sizes = {
        len([r for r in _records(datalist) if r["patient"] == p]) for p in {r["patient"] for r in _records(datalist)}
    }
    assert sizes == {2} and all(len(datalist[section]) == 2 for section in ("training", "validation", "test"))


def test_labels_are_paired_by_name(tmp_path):
    images = _touch(tmp_path / "imagesTr", "a_0000.nii.gz", "b_0000.nii.gz", "deep/c.mha")
    labels = _touch(tmp_path / "labelsTr", "a.nii.gz", "b.nrrd", "deep/c.nii")
    datalist = make_datalist(images, labels, splits=(1, 0, 0), label_merge={"1": "10-12"}, label_names={"1": "lungs"})
    pairs = {
        record["image"].split("imagesTr/")[1]: record["label"].split("labelsTr/")[1] for record in _records(datalist)
    }
    assert pairs == {"a_0000.nii.gz": "a.nii.gz", "b_0000.nii.gz": "b.nrrd", "deep/c.mha": "deep/c.nii"}
    assert datalist["label_merge"] == {"1": [10, 11, 12]}
    assert datalist["labels"] == {"0": "background", "1": "lungs"}


def test_labels_may_lie_within_the_images(tmp_path):
    images = _touch(tmp_path / "data", "a.nii", "masks/a.nii")
    (record,) = make_datalist(images, images / "masks", splits=(1, 0, 0))["training"]
    assert record["image"].endswith("data/a.nii") and record["label"].endswith("masks/a.nii")


@pytest.mark.parametrize(
    "image_names, label_names, what",
    [
        (["a.nii", "b.nii", "c.nii"], ["a.nii"], r"must hold label map\(s\) .*none for 2, the first b, c"),
        (["a.nii"], ["a.nii", "z.nii"], r"must hold image\(s\) .*none for 1, the first z"),
    ],
)
def test_what_has_no_partner(tmp_path, image_names, label_names, what):
    images, labels = _touch(tmp_path / "i", *image_names), _touch(tmp_path / "l", *label_names)
    with pytest.raises(DatalistError, match=what):
        make_datalist(images, labels, splits=(1, 0, 0))


def test_empty_and_absent_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatalistError, match="empty: must hold .*found no scan in it"):
        make_datalist(tmp_path / "empty")
    with pytest.raises(DatalistError, match="absent: must be a folder; found none"):
        make_datalist(tmp_path / "absent")


def test_real_folders(real_data):
    datalist = make_datalist(
        real_data / "ct_lidc_nodules/images", real_data / "ct_lidc_nodules/masks", splits=(0.6, 0.2, 0.2)
    )
    patients = {section: {r["patient"] for r in datalist[section]} for section in ("training", "validation", "test")}
    assert sum(len(found) for found in patients.values()) == 436 and len(_records(datalist)) == 799
    assert len(patients["validation"]) == len(patients["test"]) == 87  # round(0.2 * 436)
    datalist = make_datalist(real_data / "dicom_mr_series", splits=(1, 0, 0), modality="MR")
    assert len(datalist["training"]) == 3 and len({record["patient"] for record in datalist["training"]}) == 3


def test_only_takes_the_scans_among_other_files(tmp_path):
    folder = _touch(tmp_path / "mixed", "example_ct.nii.gz", "example_seg.nii.gz", "deep/ct.nii.gz", "deep/lung.nrrd")
    records = _records(make_datalist(folder, only="*ct.nii.gz", splits=(1, 0, 0)))
    assert {record["image"].rsplit("/")[-1] for record in records} == {"example_ct.nii.gz", "ct.nii.gz"}
    with pytest.raises(DatalistError, match="no scan named 'x\\*'"):
        make_datalist(folder, only="x*")
