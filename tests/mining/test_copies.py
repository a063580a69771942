"""Copies of a scan under several patients' names, said before any volume is read."""

import json
import shutil

import pytest
from helpers.mining_run import Unread
from monai.data import Dataset

from medgenesis.mining import MiningRun, records_to_mine
from medgenesis.mining.copies import warn_of_copies


@pytest.fixture
def copied(datalist, tmp_path):
    """copied(patient, section="training") -> the phantoms with a copy of the first scan."""

    def make(patient=None, section="training"):
        path = shutil.copytree(datalist.parent, tmp_path / "scans") / "datalist.json"
        listed = json.loads(path.read_text())
        first = listed["training"][0]
        shutil.copy(path.parent / first["image"], path.parent / "other.nii.gz")
        listed[section].append({"image": "other.nii.gz", "patient": patient or first["patient"]})
        path.write_text(json.dumps(listed))
        return path

    return make


@pytest.mark.parametrize("section", ["training", "validation"])
def test_a_copy_of_another_patients_scan_is_named_before_it_is_read(copied, section, tmp_path, caplog):
    path = copied("somebody", section)
    few = {"classes": 3, "train_patients": 3, "validation_patients": 2, "cube_size": [8, 8, 8]}
    run = MiningRun(Dataset(records_to_mine(path), Unread()), tmp_path / "run", volume_size=(16, 16, 16), discovery=few)
    with pytest.raises(pytest.fail.Exception, match="read before"):
        run.index()
    first = json.loads(path.read_text())["training"][0]["image"]
    assert "1 of 7 scans are copies of another patient's" in caplog.text
    assert str(path.parent / first) in caplog.text and str(path.parent / "other.nii.gz") in caplog.text
    assert "somebody" not in caplog.text


def test_other_scans_and_copies_of_the_patients_own_are_no_remark(datalist, copied, caplog):
    assert warn_of_copies(records_to_mine(datalist)) == []
    assert warn_of_copies(records_to_mine(copied())) == []
    assert not caplog.text
