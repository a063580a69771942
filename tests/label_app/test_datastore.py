"""Labels are kept whole or not at all, also on a full disk; what is made of them is made again when they change."""

import errno
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from medgenesis.errors import OutputError
from medgenesis.label_app.datastore import StudyFolder
from medgenesis.label_app.labelled import state_of_labels


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


def test_a_flat_label_leaves_nothing_beside_what_was_sent(tmp_path):
    (tmp_path / "studies").mkdir()
    Image.fromarray(np.zeros((5, 4), np.uint8)).save(tmp_path / "studies" / "xray.png")
    store = StudyFolder(tmp_path / "studies", {"lung": 1})
    sent = tmp_path / "sent"
    sent.mkdir()
    drawn = np.zeros((4, 5, 1))
    drawn[1, 2] = 1
    nib.save(nib.Nifti1Image(drawn.astype(np.uint8), np.diag([-1.0, -1, 1, 1])), sent / "drawn.nii.gz")
    store.save_label("xray", str(sent / "drawn.nii.gz"), "final", {})
    assert [path.name for path in sent.iterdir()] == ["drawn.nii.gz"]
    kept = np.asarray(Image.open(tmp_path / "studies" / "labels" / "final" / "xray.png"))
    np.testing.assert_array_equal(kept.T, drawn[..., 0])


def test_the_state_of_labels_changes_with_them_alone(tmp_path):
    (tmp_path / "studies").mkdir()
    for name in ("a", "b"):
        nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "studies" / f"{name}.nii.gz")
    store = StudyFolder(tmp_path / "studies", {"liver": 1})
    states = [state_of_labels(store)]

    def changed():
        states.append(state_of_labels(store))
        return states[-1] != states[-2]

    store.save_label("a", _save(tmp_path / "a.nii.gz", np.ones((3, 4, 5))), "final", {})
    assert changed() and not changed()
    store.save_label("b", _save(tmp_path / "b.nii.gz", np.ones((3, 4, 5))), "final", {})
    assert changed() and not changed()
    kept = tmp_path / "studies" / "labels" / "final" / "a.nii.gz"
    os.utime(kept, ns=(1, 1))  # put there by hand
    assert changed() and not changed()
    (tmp_path / "studies" / "b.nii.gz").write_bytes(b"another file")
    assert changed()
