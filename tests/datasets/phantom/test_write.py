"""A folder of phantoms on disk: geometry, lists, DICOM, and what is refused."""

import csv
import json

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image

from medgenesis.cli import main
from medgenesis.data import check_findings, datalist_header, load_datalist, preprocessing
from medgenesis.datasets.phantom import LABELS, make_phantom, write_phantoms
from medgenesis.datasets.phantom.write import split_subjects
from medgenesis.errors import DatalistError, VolumeError

SHAPE = (32, 32, 28)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("phantoms") / "new" / "set"
    write_phantoms(path, 5, 3, shape=SHAPE, dicom=True)
    return path


def test_nifti_round_trip(folder):
    for k in range(5):
        phantom = make_phantom(3, k, shape=SHAPE)
        for part, array in (("images", phantom.image), ("labels", phantom.label)):
            image = nib.load(folder / part / f"phantom_{k:03d}.nii.gz")
            assert np.array_equal(np.asanyarray(image.dataobj), array) and image.get_data_dtype() == array.dtype
            np.testing.assert_allclose(image.affine, phantom.affine, atol=1e-4)
            np.testing.assert_allclose(image.header.get_zooms(), phantom.spacing_mm, rtol=1e-6)
            assert nib.aff2axcodes(image.affine) == ("L", "P", "S") and image.header.get_xyzt_units()[0] == "mm"


def test_datalist_names_every_subject_once(folder):
    datalist = json.loads((folder / "datalist.json").read_text())
    entries = [entry for section in ("training", "validation", "test") for entry in datalist[section]]
    assert sorted(entry["patient"] for entry in entries) == [f"PHANTOM-{k:03d}" for k in range(5)]
    assert all((folder / entry[key]).is_file() for entry in entries for key in ("image", "label"))
    assert all(datalist[section] for section in ("training", "validation", "test"))
    assert datalist["labels"] == {str(value): name for value, name in LABELS.items()}


def test_xrays_and_their_labels(folder):
    datalist = json.loads((folder / "datalist.json").read_text())
    section = {entry["patient"]: name for name in ("training", "validation", "test") for entry in datalist[name]}
    with (folder / "xray_labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5
    for k, row in enumerate(rows):
        xray = Image.open(folder / row["image"])
        assert xray.mode == "L" and xray.size == (287, 256)
        assert row["section"] == section[row["patient"]]
        label = nib.load(folder / "labels" / f"phantom_{k:03d}.nii.gz").get_fdata()
        assert int(row["nodule"]) == int((label == 7).any())


def test_the_list_of_the_xrays(folder):
    with (folder / "xray_labels.csv").open() as file:
        rows = {row["patient"]: row for row in csv.DictReader(file)}
    header = datalist_header(folder / "xray_datalist.json")
    assert header["labels"] == {"0": "background", "1": "lungs", "2": "heart"}
    steps = preprocessing(label_keys="label", num_classes=3)
    seen = []
    for section in ("training", "validation", "test"):
        records = check_findings(load_datalist(folder / "xray_datalist.json", section), 4)
        for record in records:
            row = rows[record["patient"]]
            assert row["section"] == section and record["image"].endswith(row["image"])
            assert record["classes"] == [int(row[name]) for name in header["class_names"]]
            item = steps(record)  # the default preset is for CT: the record's own holds
            assert item["image"].shape == item["label"].shape == (1, 287, 256)
            assert 0 <= item["image"].min() and item["image"].max() <= 1
            seen.append(record["patient"])
    assert sorted(seen) == sorted(rows)


def test_dicom_series_equals_the_nifti(folder):
    for k in (0, 4):
        reader = sitk.ImageSeriesReader()
        source = str(folder / "dicom" / f"phantom_{k:03d}")
        assert len(reader.GetGDCMSeriesIDs(source)) == 1
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(source))
        series, nifti = reader.Execute(), sitk.ReadImage(str(folder / "images" / f"phantom_{k:03d}.nii.gz"))
        assert np.array_equal(sitk.GetArrayFromImage(series), sitk.GetArrayFromImage(nifti))
        for question in ("GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(getattr(series, question)(), getattr(nifti, question)(), atol=1e-4)


def test_dicom_identity(folder):
    slices = [
        pydicom.dcmread(path) for k in (0, 1) for path in sorted((folder / "dicom" / f"phantom_{k:03d}").iterdir())
    ]
    assert len({s.SOPInstanceUID for s in slices}) == len(slices) == 2 * SHAPE[2]
    assert len({s.SeriesInstanceUID for s in slices}) == len({s.StudyInstanceUID for s in slices}) == 2
    assert {str(s.PatientName) for s in slices} == {s.PatientID for s in slices} == {"PHANTOM-000", "PHANTOM-001"}
    assert all(s.file_meta.MediaStorageSOPInstanceUID == s.SOPInstanceUID for s in slices)


def test_writing_again_gives_the_same_files(folder, tmp_path):
    write_phantoms(tmp_path, 2, 3, shape=SHAPE, dicom=True)
    for name in ("xrays/phantom_001.png", "dicom/phantom_001/slice_004.dcm"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    images = [nib.load(path / "images" / "phantom_001.nii.gz") for path in (folder, tmp_path)]
    assert np.array_equal(*(np.asanyarray(image.dataobj) for image in images))


def test_other_content_is_refused_and_kept(tmp_path):
    (tmp_path / "scan.txt").write_text("mine")
    with pytest.raises(VolumeError, match="other files.*--overwrite"):
        write_phantoms(tmp_path, 1, 0, shape=SHAPE)
    assert [path.name for path in tmp_path.iterdir()] == ["scan.txt"]
    write_phantoms(tmp_path, 1, 0, shape=SHAPE, overwrite=True)
    assert (tmp_path / "scan.txt").read_text() == "mine" and (tmp_path / "datalist.json").is_file()


def test_other_settings_are_refused_unless_overwritten(tmp_path):
    write_phantoms(tmp_path, 2, 0, shape=SHAPE, dicom=True)
    write_phantoms(tmp_path, 2, 0, shape=SHAPE, dicom=True)  # the same settings are welcome
    with pytest.raises(VolumeError, match="--overwrite"):
        write_phantoms(tmp_path, 1, 1, shape=SHAPE)
    write_phantoms(tmp_path, 1, 1, shape=SHAPE, overwrite=True)
    assert (
        sorted(path.name for path in tmp_path.rglob("phantom_*"))
        == ["phantom_000.nii.gz"] * 2 + ["phantom_000.png"] * 2
    )
    assert not list(tmp_path.rglob(".partial-*"))


def test_the_same_settings_write_only_what_is_missing(tmp_path, monkeypatch):
    settings = dict(subjects=2, seed=0, shape=SHAPE)
    write_phantoms(tmp_path, **settings)
    dates = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    write_phantoms(tmp_path, **settings)
    assert dates == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    content = (tmp_path / "xrays" / "phantom_001.png").read_bytes()
    (tmp_path / "xrays" / "phantom_001.png").unlink()
    write_phantoms(tmp_path, **settings)
    assert (tmp_path / "xrays" / "phantom_001.png").read_bytes() == content
    monkeypatch.setattr("medgenesis.datasets.phantom.write.__version__", "9.9")
    with pytest.raises(VolumeError, match="medgenesis = .*, now it is '9.9'"):
        write_phantoms(tmp_path, **settings)


def test_another_split_is_not_passed_over(tmp_path):
    write_phantoms(tmp_path, 4, 0, shape=SHAPE, split=(1, 0, 0))
    with pytest.raises(VolumeError, match=r"split = \[1, 0, 0\], now it is"):
        write_phantoms(tmp_path, 4, 0, shape=SHAPE)


def test_phantoms_of_version_0_1_are_replaced_when_asked(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "phantom_007.nii.gz").touch()
    (tmp_path / "phantom.json").write_text('{"subjects": 8, "seed": 0, "shape": [32, 32, 28], "dicom": false}')
    with pytest.raises(VolumeError, match="version 0.1.*--overwrite"):
        write_phantoms(tmp_path, 1, 0, shape=SHAPE)
    write_phantoms(tmp_path, 1, 0, shape=SHAPE, overwrite=True)
    assert not (tmp_path / "phantom.json").exists()
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["phantom_000.nii.gz"]


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    def full(image, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(nib, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_phantoms(tmp_path, 1, 0, shape=SHAPE)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["steps.json"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(VolumeError, match="must be a folder"):
        write_phantoms(tmp_path / "out", 1, 0, shape=SHAPE)


def test_split():
    assert split_subjects(5, (0.6, 0.2, 0.2)) == ["training"] * 3 + ["validation", "test"]
    assert split_subjects(1, (0.6, 0.2, 0.2)) == ["training"]
    assert split_subjects(3, (0.9, 0.05, 0.05)) == ["training", "validation", "test"]
    assert split_subjects(4, (1, 0, 0)) == ["training"] * 4
    for bad in ((0.5, 0.5), (0.5, 0.2, 0.2), (0, 0.5, 0.5), (1.2, -0.1, -0.1)):
        with pytest.raises(DatalistError, match="split"):
            split_subjects(4, bad)
    with pytest.raises(VolumeError, match="at least 1"):
        split_subjects(0, (0.6, 0.2, 0.2))


def test_command(tmp_path, capsys):
    words = ["phantom", str(tmp_path / "set"), "--subjects", "2", "--seed", "4", "--shape", "32", "32", "28"]
    assert main(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'set' / 'datalist.json'}\n"
    image = nib.load(tmp_path / "set" / "images" / "phantom_001.nii.gz")
    assert np.array_equal(np.asanyarray(image.dataobj), make_phantom(4, 1, shape=SHAPE).image)
    assert not (tmp_path / "set" / "dicom").exists()
    assert main([*words, "--dicom"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--dicom", "--overwrite"]) == 0
    assert len(list((tmp_path / "set" / "dicom" / "phantom_001").iterdir())) == 28


def test_negative_seed_is_refused(tmp_path):
    with pytest.raises(VolumeError, match="negative"):
        write_phantoms(tmp_path / "set", 1, -1, shape=SHAPE)
    assert not (tmp_path / "set").exists()
