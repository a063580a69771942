"""Labels are kept whole or not at all, also on a full disk."""

import errno
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from medgenesis.errors import OutputError
from medgenesis.label_app.datastore import StudyFolder


def _save(path, values):
    nib.save(nib.Nifti1Image(values.astype(np.uint8), np.eye(4)), path)
    return str(path)


def test_a_full_disk_costs_no_label(tmp_path, monkeypatch):
    (tmp_path / "studies").mkdir()
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "studies" / "scan.nii.gz")
    store = StudyFolder(tmp_path / "studies", {"liver": 1})
    values = np.ones((3, 4, 5))
    store.save_label("scan", _save(tmp_path / "first.nii.gz", values), "final", {})
    kept = tmp_path / "studies" / "labels" / "final" / "scan.nii.gz"
    before = kept.read_bytes()
    second = _save(tmp_path / "second.nii.gz", np.eye(4, 5)[None].repeat(3, 0))

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        store.save_label("scan", second, "final", {})
    assert kept.read_bytes() == before and [path.name for path in kept.parent.iterdir()] == ["scan.nii.gz"]
