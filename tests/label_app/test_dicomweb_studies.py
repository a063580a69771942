"""Labels of a DICOMweb server: stored as DICOM SEG with the names of the app, read back for training.

`DICOMfileClient` of dicomweb_client stands for the server: the same searches and transfers, on a folder.
"""

import json
import os
import shutil
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

import requests
from dicomweb_client import DICOMfileClient
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException
from monailabel.tasks.activelearning.first import First
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from medgenesis.errors import OutputError, VolumeError
from medgenesis.label_app import dicomweb_studies
from medgenesis.label_app.app import LabelApp
from medgenesis.label_app.dicomweb_studies import DicomWebStudies
from medgenesis.label_app.labelled import labelled_studies, state_of_labels

CLASSES = {"lungs": 1, "liver": 2}
SERIES = ("1.2.1", "1.2.2")
OTHERS = [{"name": "Liver", "idx": 1}]  # as 3D Slicer sends a liver that is drawn alone


@pytest.fixture
def client(tmp_path, write_series):
    """Two oblique CT series on a server."""
    turned = [0.8, 0.6, 0, -0.6, 0.8, 0]
    for number, series in enumerate(SERIES):
        stored = np.random.default_rng(number).integers(0, 2000, (6, 8, 10))
        own = {"SeriesInstanceUID": series, "StudyInstanceUID": f"1.1.{number}", "ImageOrientationPatient": turned}
        own |= {"StudyDate": "20200101", "StudyTime": "101010", "StudyID": "1", "PatientBirthDate": ""}
        own |= {"PatientSex": "", "AccessionNumber": "", "ReferringPhysicianName": "", "FrameOfReferenceUID": "1.9"}
        write_series(f"server/{number}", stored, [(3, -2, 4 + 2.5 * i) for i in range(6)], **own)
    return DICOMfileClient(f"file://{tmp_path / 'server'}", update_db=True, in_memory=True)


@pytest.fixture
def store(client, tmp_path, monkeypatch):
    scripts = str(Path(sys.executable).parent)  # itkimage2segimage; `serve` does the same
    monkeypatch.setenv("PATH", os.pathsep.join([scripts, os.environ["PATH"]]))
    return DicomWebStudies(client, CLASSES, {"Modality": "CT"}, tmp_path / "cache")


def _drawn(store, path, series, where, value=1):
    image = nib.load(store.get_image_uri(series))
    values = np.zeros(image.shape, np.uint8)
    values[where] = value
    nib.save(nib.Nifti1Image(values, image.affine), path)
    return str(path)


def _points(file, value):
    """Places of the voxels of a value, mm."""
    image = nib.load(file)
    found = nib.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) == value))
    return np.array(sorted(np.round(found, 2).tolist()))


def test_drawn_stored_and_read_back(store, client, tmp_path):
    where = np.s_[2:6, 1:4, 2:4]  # none in the outer slices, which the file on the server then lacks
    drawn = _drawn(store, tmp_path / "drawn.nii.gz", SERIES[0], where)
    states = [state_of_labels(store)]
    assert sorted(store.get_unlabeled_images()) == list(SERIES) and store.get_labeled_images() == []
    store.save_label(SERIES[0], drawn, "final", {"label_info": OTHERS})
    assert store.get_labeled_images() == [SERIES[0]] and store.get_unlabeled_images() == [SERIES[1]]
    assert state_of_labels(store) != states[0] and state_of_labels(store) == state_of_labels(store)
    (header,) = map(Dataset.from_json, client.search_for_series(search_filters={"Modality": "SEG"}))
    (stored,) = client.retrieve_series(header.StudyInstanceUID, header.SeriesInstanceUID)
    assert [one.SegmentLabel for one in stored.SegmentSequence] == ["liver"]
    assert stored.ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES[0]
    (study,), left_out = labelled_studies(store, CLASSES, tmp_path / "labels")
    assert study.name == SERIES[0] and left_out == {}
    np.testing.assert_allclose(_points(study.label, CLASSES["liver"]), _points(drawn, 1), atol=0.02)
    assert set(np.unique(nib.load(study.label).dataobj)) == {0, CLASSES["liver"]}
    assert nib.load(study.label).shape == nib.load(study.image).shape


def test_the_newest_label_counts(store, tmp_path, monkeypatch):
    for when, where in (("120000", np.s_[1:3, 1:3, 1:3]), ("110000", np.s_[4:7, 4:6, 3:5])):
        _store(store, _drawn(store, tmp_path / "drawn.nii.gz", SERIES[1], where, 2), SERIES[1], when, monkeypatch)
        if when == "120000":
            newest = _points(tmp_path / "drawn.nii.gz", 2)
    (study,), _ = labelled_studies(store, CLASSES, tmp_path / "labels")
    np.testing.assert_allclose(_points(study.label, 2), newest, atol=0.02)
    assert study.saved == int(datetime(2024, 5, 6, 12).timestamp())


def _store(store, drawn, image, when, monkeypatch, names=None, series=None):
    """As another program would, at a time of its own."""
    own, taken = store._client.store_instances, []

    def acknowledged(found):
        taken.extend(found)
        answer = Dataset()
        answer.ReferencedSOPSequence = [Dataset()]
        answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = found[0].SOPInstanceUID
        return answer

    monkeypatch.setattr(store._client, "store_instances", acknowledged)
    values = nib.load(drawn)
    own_grid = nib.load(store.get_image_uri(image))  # of the same shape in these tests
    nib.save(nib.Nifti1Image(np.asarray(values.dataobj), own_grid.affine), drawn)
    store.save_label(image, drawn, "final", {})
    monkeypatch.setattr(store._client, "store_instances", own)
    (segments,) = taken
    segments.ContentDate, segments.ContentTime = "20240506", when
    segments.SeriesInstanceUID, segments.SOPInstanceUID = series or generate_uid(), generate_uid()
    segments.file_meta.MediaStorageSOPInstanceUID = segments.SOPInstanceUID
    for one, name in zip(segments.SegmentSequence, names or (), strict=names is not None):
        one.SegmentLabel = name
    own([segments])


def test_segments_of_others_do_not_count(store, tmp_path, monkeypatch):
    drawn = _drawn(store, tmp_path / "drawn.nii.gz", SERIES[0], np.s_[1:3, 1:3, 1:3])
    _store(store, drawn, SERIES[0], "110000", monkeypatch)
    _store(store, drawn, SERIES[1], "110000", monkeypatch, names=["nodule"])
    _store(store, drawn, SERIES[0], "120000", monkeypatch, names=["nodule"])
    assert store.get_labeled_images() == [SERIES[0]] and store.get_unlabeled_images() == [SERIES[1]]
    (study,), left_out = labelled_studies(store, CLASSES, tmp_path / "labels")
    assert study.name == SERIES[0] and left_out == {}


def test_the_newest_of_several_in_a_series(store, tmp_path, monkeypatch):
    """One series holds both: some programs store each save as a further instance."""
    series = generate_uid()
    for when, where in (("120000", np.s_[1:3, 1:3, 1:3]), ("110000", np.s_[4:7, 4:6, 3:5])):
        drawn = _drawn(store, tmp_path / f"{when}.nii.gz", SERIES[1], where, 2)
        _store(store, drawn, SERIES[1], when, monkeypatch, series=series)
        (study,), _ = labelled_studies(store, CLASSES, tmp_path / "labels")
        np.testing.assert_allclose(_points(study.label, 2), _points(tmp_path / "120000.nii.gz", 2), atol=0.02)
    drawn = _drawn(store, tmp_path / "130000.nii.gz", SERIES[1], np.s_[0:2, 3:6, 1:5], 2)
    _store(store, drawn, SERIES[1], "130000", monkeypatch, series=series)
    (study,), _ = labelled_studies(store, CLASSES, tmp_path / "labels")
    np.testing.assert_allclose(_points(study.label, 2), _points(drawn, 2), atol=0.02)


@pytest.mark.parametrize("scale", [1, 2])
def test_segments_on_another_grid_are_left_out(store, tmp_path, scale):
    drawn = _drawn(store, tmp_path / "drawn.nii.gz", SERIES[0], np.s_[1:3, 1:3, 1:3])
    store.save_label(SERIES[0], drawn, "final", {})
    store.save_label(SERIES[1], _drawn(store, tmp_path / "b.nii.gz", SERIES[1], np.s_[1:3, 1:3, 1:3]), "final", {})
    image = Path(store.get_image_uri(SERIES[0]))
    moved = nib.load(image)
    affine = moved.affine @ np.diag([scale, scale, scale, 1])
    affine[2, 3] += 1.2 * (scale == 1)  # about half a slice
    nib.save(nib.Nifti1Image(np.asarray(moved.dataobj), affine), image)
    (study,), left_out = labelled_studies(store, CLASSES, tmp_path / "labels")
    assert study.name == SERIES[1] and "segments must lie on the grid of their study" in left_out[SERIES[0]]


def test_what_cannot_be_asked_for_costs_itself_alone(store, client, tmp_path, monkeypatch):
    for series in SERIES:
        store.save_label(series, _drawn(store, tmp_path / "a.nii.gz", series, np.s_[1:3, 1:3, 1:3]), "final", {})
    own, broken = client.retrieve_instance, store.saved()
    (image, *_) = next(broken).files()

    def fails(*_):
        raise ConnectionError("no connection")

    monkeypatch.setattr(client, "retrieve_instance", fails)
    studies, left_out = labelled_studies(store, CLASSES, tmp_path / "labels")
    assert [one.name for one in studies] == [SERIES[0]] and "no connection" in left_out[SERIES[1]]
    assert [one["image"] for one in store.datalist()] == [image]
    monkeypatch.setattr(client, "retrieve_instance", own)
    monkeypatch.setattr(client, "retrieve_series_metadata", fails)
    store._described.clear()
    assert store.get_labeled_images() == [] and sorted(store.get_unlabeled_images()) == list(SERIES)


def test_files_of_labels_for_whoever_downloads_them(store, tmp_path):
    drawn = _drawn(store, tmp_path / "a.nii.gz", SERIES[0], np.s_[1:3, 1:3, 1:3])
    store.save_label(SERIES[0], drawn, "final", {})
    label = store.get_label_uri(SERIES[0], "final")
    assert sitk.GetArrayFromImage(sitk.ReadImage(label)).sum() == 8
    assert store.datalist() == [{"image": store.get_image_uri(SERIES[0]), "label": label}]
    with pytest.raises(LabelNotFoundException):
        store.get_label_uri(SERIES[1], "final")
    with pytest.raises(VolumeError, match="must be stored on the DICOMweb server itself"):
        store.add_image("new", drawn, {})


def test_what_is_refused(store, tmp_path, monkeypatch):
    with pytest.raises(ImageNotFoundException, match="image: must be a series of the server; found '9.9'"):
        store.get_image_uri("9.9")
    drawn = _drawn(store, tmp_path / "drawn.nii.gz", SERIES[0], np.s_[1:3, 1:3, 1:3], 7)
    with pytest.raises(VolumeError, match="labels must be of 1 \\(lungs\\), 2 \\(liver\\); found 7"):
        store.save_label(SERIES[0], drawn, "final", {})
    refused = Dataset()
    refused.FailedSOPSequence = [Dataset()]
    drawn = _drawn(store, tmp_path / "drawn.nii.gz", SERIES[0], np.s_[1:3, 1:3, 1:3])
    for answer in (lambda found: refused, lambda found: Dataset(), _no_connection):  # the second: of a login page
        monkeypatch.setattr(store._client, "store_instances", answer)
        with pytest.raises(OutputError, match="segments must be stored on the server; found"):
            store.save_label(SERIES[0], drawn, "final", {})
    assert store.get_labeled_images() == []


def _no_connection(found):
    raise ConnectionError("no connection")


def test_a_server_that_answers_too_late_may_have_it(store, tmp_path, monkeypatch):
    """Saved once more it would be there twice; where it has not arrived, the drawing is not called stored."""
    drawn = _drawn(store, tmp_path / "drawn.nii.gz", SERIES[0], np.s_[1:3, 1:3, 1:3])
    own = store._client.store_instances

    def late(found, arrives):
        if arrives:
            own(found)
        raise requests.ReadTimeout

    monkeypatch.setattr(store._client, "store_instances", partial(late, arrives=False))
    with pytest.raises(OutputError, match="it has none of them"):
        store.save_label(SERIES[0], drawn, "final", {})
    monkeypatch.setattr(store._client, "store_instances", partial(late, arrives=True))
    assert store.save_label(SERIES[0], drawn, "final", {}) == SERIES[0]
    assert store.get_labeled_images() == [SERIES[0]]


def test_a_series_that_breaks_off_is_fetched_again(store, client, monkeypatch):
    own = client.retrieve_series

    def breaks_off(*args, **kwargs):
        yield own(*args, **kwargs)[0]
        raise ConnectionError("broken off")

    monkeypatch.setattr(client, "retrieve_series", breaks_off)
    with pytest.raises(ConnectionError):
        store.get_image_uri(SERIES[0])
    monkeypatch.setattr(client, "retrieve_series", lambda *args, **kwargs: own(*args, **kwargs)[:4])
    with pytest.raises(ConnectionError, match="must be fetched whole; found 4 of 6 slices"):
        store.get_image_uri(SERIES[0])
    monkeypatch.setattr(client, "retrieve_series", own)
    assert nib.load(store.get_image_uri(SERIES[0])).shape[2] == 6


def test_a_server_that_ignores_what_is_searched_for(store, client, monkeypatch):
    """All its series came back, and more than one was an error of Python."""
    own = client.search_for_series
    monkeypatch.setattr(client, "search_for_series", lambda **_: own(search_filters={"Modality": "CT"}))
    for number, series in enumerate(SERIES):
        stored = np.random.default_rng(number).integers(0, 2000, (6, 8, 10))  # (slices, rows, columns)
        found = np.sort(np.asarray(nib.load(store.get_image_uri(series)).dataobj).ravel()).astype(float)
        slope = np.ptp(found) / np.ptp(stored)
        np.testing.assert_allclose(found, found[0] + slope * (np.sort(stored.ravel()) - stored.min()), atol=1e-6)
        assert store.get_image_info(series)["StudyInstanceUID"] == f"1.1.{number}"


def test_a_series_that_is_gone_costs_a_training_itself_alone(store, client, tmp_path, monkeypatch):
    for series in SERIES:
        store.save_label(series, _drawn(store, tmp_path / "a.nii.gz", series, np.s_[1:3, 1:3, 1:3]), "final", {})
    image = Path(store.get_image_uri(SERIES[1]))
    image.unlink()
    shutil.rmtree(image.parent / SERIES[1])
    own, gone = client.search_for_series, {"search_filters": {"SeriesInstanceUID": SERIES[1]}}
    monkeypatch.setattr(client, "search_for_series", lambda **asked: [] if asked == gone else own(**asked))
    said = f"image: must be a series of the server; found '{SERIES[1]}', which it does not have now"
    with pytest.raises(ImageNotFoundException, match=said):
        store.get_image_uri(SERIES[1])
    studies, left_out = labelled_studies(store, CLASSES, tmp_path / "labels")
    assert [one.name for one in studies] == [SERIES[0]] and said in left_out[SERIES[1]]


def test_nothing_of_the_patient_is_kept_beside_the_images(store, tmp_path):
    store.get_image_uri(SERIES[0])
    for path in (tmp_path / "cache").rglob("*.json"):
        assert "secret-17" not in path.read_text() and "Doe" not in path.read_text()
    assert "PatientID" not in json.dumps(store.get_image_info(SERIES[0]))
    assert str(dcmread(next((tmp_path / "cache").rglob("*.dcm"))).PatientID) == "secret-17"  # the slices as they are


def test_ids_and_tags_are_no_paths(store, tmp_path):
    image = store.get_image_uri(SERIES[0])
    drawn = _drawn(store, tmp_path / "drawn.nii.gz", SERIES[0], np.s_[1:3, 1:3, 1:3])
    for name in (str(tmp_path / "drawn"), "../../drawn"):
        with pytest.raises(ImageNotFoundException, match="image: must be a series of the server"):
            store.get_image_uri(name)
    for tag in ("..", str(tmp_path)):
        for call in (store.remove_label, store.get_label_uri, lambda name, tag: store.save_label(name, drawn, tag, {})):
            with pytest.raises(VolumeError, match="tag: must be a plain name"):
                call(SERIES[0], tag)
    store.save_label(SERIES[0], drawn, "original", {})
    store.remove_label(SERIES[0], "original")
    store.save_label(SERIES[0], drawn, "final", {})
    with pytest.raises(VolumeError, match="label: must be removed on the DICOMweb server itself"):
        store.remove_label(SERIES[0], "final")
    assert Path(image).is_file() and Path(drawn).is_file() and store.get_labeled_images() == [SERIES[0]]


def test_a_series_that_is_no_volume_is_passed_over(store, tmp_path, monkeypatch, caplog):
    """Such as a multi-frame CT: it was the next sample for ever."""
    own = dicomweb_studies.convert_series

    def convert(source, target):
        if source.name == SERIES[0]:
            raise VolumeError("slices: must be files of one slice; found one of 9 frames. Convert it.")
        own(source, target)

    monkeypatch.setattr(dicomweb_studies, "convert_series", convert)
    app = LabelApp.__new__(LabelApp)
    app._datastore, app._strategies, app._auto_update_scoring = store, {"first": First()}, False
    assert store.get_unlabeled_images() == list(SERIES)
    assert app.next_sample({"strategy": "first"})["id"] == SERIES[1]
    assert store.get_unlabeled_images() == [SERIES[1]]
    with pytest.raises(VolumeError, match="one of 9 frames"):
        store.get_image_uri(SERIES[0])
    said = [one.getMessage() for one in caplog.records if "passed over" in one.getMessage()]
    assert len(said) == 1 and said[0].startswith(f"{SERIES[0]}: passed over, for it cannot be converted (slices:")


def test_a_search_that_finds_nothing_is_said(client, tmp_path, caplog):
    DicomWebStudies(client, CLASSES, {"Modality": "CT"}, tmp_path / "ct").warn_of_none()
    assert "0 series" not in caplog.text
    DicomWebStudies(client, CLASSES, {"Modality": "MR"}, tmp_path / "mr").warn_of_none()
    assert f"0 series of modality MR at {client.base_url}" in caplog.text
    assert "MONAI_LABEL_DICOMWEB_SEARCH_FILTER" in caplog.text


def test_a_server_that_does_not_answer_at_the_start_is_said(client, tmp_path, monkeypatch, caplog):
    store = DicomWebStudies(client, CLASSES, {"Modality": "CT"}, tmp_path / "cache")
    monkeypatch.setattr(client, "search_for_series", lambda **_: _no_connection(None))
    store.warn_of_none()
    assert "no connection" in caplog.text
