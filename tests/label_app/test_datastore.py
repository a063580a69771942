"""Labels are kept whole or not at all, also on a full disk; what is made of them is made again when they change."""

import errno
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from watchdog.events import FileCreatedEvent, FileMovedEvent

from medgenesis.errors import IntensityRangeError, OutputError, VolumeError
from medgenesis.label_app.datastore import StudyFolder
from medgenesis.label_app.labelled import labelled_studies, state_of_labels
from medgenesis.label_app.studies import gather_studies


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


LIVER = [{"name": "liver", "idx": 1}]  # drawn alone: 3D Slicer numbers it 1
CLASSES = {"lungs": 1, "liver": 2}


def test_names_outlive_a_start_without_the_study(tmp_path):
    """A drive that is not there for once: the label stays what it was."""
    (tmp_path / "own").mkdir()
    for name in ("a", "b"):
        nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "own" / f"{name}.nii.gz")
    gather_studies(tmp_path / "own", tmp_path / "app")
    drawn = _save(tmp_path / "drawn.nii.gz", np.ones((3, 4, 5)))
    StudyFolder(tmp_path / "app", CLASSES).save_label("a", drawn, "final", {"label_info": LIVER})
    (tmp_path / "own" / "a.nii.gz").rename(tmp_path / "away.nii.gz")
    gather_studies(tmp_path / "own", tmp_path / "app")
    assert StudyFolder(tmp_path / "app", CLASSES).list_images() == ["b"]
    (tmp_path / "another").mkdir()
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "another" / "a.nii.gz")
    with pytest.raises(VolumeError, match="a labelled study must stay the scan that it was"):
        gather_studies(tmp_path / "another", tmp_path / "app")
    (tmp_path / "away.nii.gz").rename(tmp_path / "own" / "a.nii.gz")
    gather_studies(tmp_path / "own", tmp_path / "app")
    (study,), left_out = labelled_studies(StudyFolder(tmp_path / "app", CLASSES), CLASSES, tmp_path / "labels")
    assert left_out == {} and set(np.unique(nib.load(study.label).dataobj)) == {CLASSES["liver"]}


def test_a_study_that_a_viewer_sent_is_not_replaced(tmp_path):
    for folder in ("own", "app"):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / folder / "scan.nii.gz")
    before = (tmp_path / "app" / "scan.nii.gz").read_bytes()
    with pytest.raises(VolumeError, match="a name must be of one study"):
        gather_studies(tmp_path / "own", tmp_path / "app")
    assert (tmp_path / "app" / "scan.nii.gz").read_bytes() == before


def test_a_study_that_a_training_refuses_is_left_out(tmp_path):
    (tmp_path / "studies").mkdir()
    for name in ("a", "b"):
        nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "studies" / f"{name}.nii.gz")
    store = StudyFolder(tmp_path / "studies", CLASSES)
    for name in ("a", "b"):
        store.save_label(name, _save(tmp_path / f"{name}.nii.gz", np.ones((3, 4, 5))), "final", {})

    def prepare(record):
        if Path(record["image"]).name.startswith("a"):
            raise RuntimeError("applying transform") from IntensityRangeError("a: outside the range")

    (study,), left_out = labelled_studies(store, CLASSES, tmp_path / "labels", prepare)
    assert study.name == "b" and left_out == {"a": "a: outside the range"}


def test_a_full_disk_leaves_the_list_of_studies(tmp_path, monkeypatch):
    (tmp_path / "studies").mkdir()
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "studies" / "a.nii.gz")
    store = StudyFolder(tmp_path / "studies", CLASSES)
    before = (tmp_path / "studies" / "datastore_v2.json").read_bytes()

    def full(*_):
        raise OutputError("no space left")

    monkeypatch.setattr("medgenesis.label_app.whole_list.write_text", full)
    with pytest.raises(OutputError):
        store.update_image_info("a", {"strange": 1})
    assert (tmp_path / "studies" / "datastore_v2.json").read_bytes() == before
    monkeypatch.undo()
    store.update_image_info("a", {"strange": 2})
    assert StudyFolder(tmp_path / "studies", CLASSES).get_image_info("a")["strange"] == 2


@pytest.mark.parametrize("flat", [False, True])
def test_what_is_refused_is_called_by_its_study(tmp_path, flat):
    (tmp_path / "studies").mkdir()
    if flat:
        Image.fromarray(np.zeros((4, 3), np.uint8)).save(tmp_path / "studies" / "scan.png")
    else:
        nib.save(nib.Nifti1Image(np.zeros((3, 4, 1), np.int16), np.eye(4)), tmp_path / "studies" / "scan.nii.gz")
    store = StudyFolder(tmp_path / "studies", {"liver": 1})
    (tmp_path / "sent").mkdir()
    wrong = {
        "must have foreground": np.zeros((3, 4, 1)),
        "labels must be of 1 ": np.full((3, 4, 1), 7),
        "must lie on the grid": np.ones((3, 5, 1)),
    }
    wrong |= {"must be of one slice": np.ones((3, 4, 2))} if flat else {}
    for said, values in wrong.items():
        sent = _save(tmp_path / "sent" / "tmpx1y2.nii.gz", values)
        with pytest.raises(VolumeError, match=f"^label of scan: .*{said}") as found:
            store.save_label("scan", sent, "final", {})
        assert "tmpx1y2" not in str(found.value)
    for name, text in (("tmpx1y2.nii.gz", b"no image"), ("tmpx1y2.txt", b"")):
        (tmp_path / "sent" / name).write_bytes(text)
        for call in (store.save_label, lambda *sent: store.add_image("new", sent[1], {})):
            with pytest.raises(VolumeError) as found:
                call("scan", str(tmp_path / "sent" / name), "final", {})
            assert "tmpx1y2" not in str(found.value)


def test_what_is_being_written_beside_is_no_study(tmp_path, monkeypatch):
    """Listed in the moment before it was renamed, it stayed a study."""
    for name in ("scan", ".machine-1.2-scan"):
        nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / f"{name}.nii.gz")
    store, refreshed = StudyFolder(tmp_path, {"liver": 1}), []
    assert store.list_images() == ["scan"]
    monkeypatch.setattr(store, "refresh", lambda: refreshed.append(1))
    store._on_any_event(FileCreatedEvent(str(tmp_path / ".machine-1.2-scan.nii.gz")))
    assert not refreshed
    store._on_any_event(FileCreatedEvent(str(tmp_path / "scan.nii.gz")))
    assert refreshed == [1]
    for name, count in ((".machine-1.3-scan", 1), ("scan", 2)):  # renamed into its place
        store._on_replaced(FileMovedEvent(str(tmp_path / ".scan"), str(tmp_path / f"{name}.nii.gz")))
        assert len(refreshed) == count


def test_two_labels_of_a_study_put_there_by_hand_are_named(tmp_path, caplog):
    for folder in ("", "labels/final/"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        _save(tmp_path / f"{folder}v1.nii.gz", np.ones((3, 4, 5)))
    (tmp_path / "labels" / "final" / "v1.nrrd").write_bytes(b"")
    store = StudyFolder(tmp_path, {"liver": 1})
    counts = Path(store.get_label_uri("v1", "final")).name
    store.refresh()
    said = [one.getMessage() for one in caplog.records if "must have one" in one.getMessage()]
    assert said == [f"v1: must have one final label; {counts} counts of v1.nii.gz, v1.nrrd"]
