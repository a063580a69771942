"""Studies that viewers can open: links under plain names, DICOM series converted once, nothing written beside them."""

import csv
import hashlib
import os

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import DigitalXRayImageStorageForPresentation

from medgenesis.errors import VolumeError
from medgenesis.io.volume_reader import VolumeReader
from medgenesis.label_app import studies
from medgenesis.label_app.studies import check_dimension, gather_studies


def _listed(path):
    with path.open(newline="", encoding="utf-8") as file:
        return [tuple(row) for row in csv.reader(file)]


def _positions(count):
    return [(-10, -20, 5 + 2 * i) for i in range(count)]


def _volume(seed=0):
    return np.random.default_rng(seed).integers(0, 900, (6, 5, 4)).astype(np.int16)


def test_files_are_linked_and_names_are_plain(tmp_path, write_nifti):
    write_nifti("in/a/scan one.nii.gz", _volume())
    write_nifti("in/a_scan one.nii.gz", _volume(1))
    write_nifti("in/a/scan_seg.nii.gz", _volume())
    write_nifti("in/labels/final/scan.nii.gz", _volume())
    (tmp_path / "in" / "broken.nii.gz").write_bytes(b"nothing")
    before = sorted(path.name for path in (tmp_path / "in").rglob("*"))
    names = gather_studies(tmp_path / "in", tmp_path / "out")
    assert names == ["a__scan_one", "a_scan_one", "broken"]  # a broken one is shown: asked for, it says what is wrong
    assert (tmp_path / "out" / "a__scan_one.nii.gz").is_symlink()
    assert sorted(path.name for path in (tmp_path / "in").rglob("*")) == before
    (tmp_path / "in" / "a_scan one.nii.gz").unlink()
    assert gather_studies(tmp_path / "in", tmp_path / "out") == ["a__scan_one", "broken"]
    assert not (tmp_path / "out" / "a_scan_one.nii.gz").is_symlink()


def test_a_series_is_converted_once_and_its_name_says_no_patient(tmp_path, write_series):
    stored = np.random.default_rng(0).integers(0, 900, (4, 3, 5))
    folder = write_series("in/DOE^JANE", stored, _positions(4), SeriesInstanceUID="1.2.3")
    (name,) = gather_studies(tmp_path / "in", tmp_path / "out")
    target = tmp_path / "out" / f"{name}.nii.gz"
    reader = VolumeReader()
    array, meta = reader.get_data(reader.read(folder))
    image = nib.load(target)
    np.testing.assert_array_equal(image.get_fdata(), array)
    np.testing.assert_allclose(image.affine, meta["affine"], atol=1e-5)
    listed = (tmp_path / "out" / "series.csv").read_text()
    assert f"{name},4,1.2.3" in listed and "DOE" not in listed + name and "secret" not in listed
    made = target.stat().st_mtime_ns
    gather_studies(tmp_path / "in", tmp_path / "out")
    assert target.stat().st_mtime_ns == made
    os.utime(folder / "0", (made / 1e9 + 5, made / 1e9 + 5))
    gather_studies(tmp_path / "in", tmp_path / "out")
    assert target.stat().st_mtime_ns > made


def test_studies_that_are_called_otherwise_are_listed(tmp_path, write_nifti, write_series):
    for name in ("A B", "a b", "a_b", "deep/er x/scan", "plain", "x"):
        write_nifti(f"in/{name}.nii.gz", _volume())
    write_nifti("in/x.nii", _volume())
    write_series("in/DOE^JANE", np.ones((4, 3, 5), int), _positions(4))
    names = gather_studies(tmp_path / "in", tmp_path / "out")
    listed = dict(_listed(tmp_path / "out" / "studies.csv"))
    assert listed.pop("study") == "file"
    renamed = {"A B.nii.gz", "a b.nii.gz", "a_b.nii.gz", "deep/er x/scan.nii.gz"}
    assert len(listed) == 5 and set(listed.values()) - renamed <= {"x.nii", "x.nii.gz"}
    assert "DOE" not in (tmp_path / "out" / "studies.csv").read_text()
    for name, file in listed.items():
        (link,) = (
            path for path in (tmp_path / "out").iterdir() if path.is_symlink() and path.name.split(".")[0] == name
        )
        assert link.resolve() == (tmp_path / "in" / file).resolve() and name in names
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "y.npy", np.zeros((3, 4, 5), np.float32))
    gather_studies(tmp_path / "other", tmp_path / "out")
    assert not (tmp_path / "out" / "studies.csv").exists()


def test_a_series_without_a_number_has_none_in_the_list(tmp_path, write_series):
    write_series("in/s", np.ones((4, 3, 5), int), _positions(4), SeriesInstanceUID="1.2.3", SeriesNumber=None)
    (name,) = gather_studies(tmp_path / "in", tmp_path / "out")
    assert _listed(tmp_path / "out" / "series.csv")[1] == (name, "", "1.2.3", "")


def test_two_radiographs_of_a_series_are_told_apart(tmp_path, write_series):
    """Both had one SeriesInstanceUID and no more."""
    uids = ("1.2.3.4", "1.2.3.5")
    for uid in uids:
        write_series(
            "in", np.arange(2000)[None].reshape(1, 40, 50), [(0, 0, 0)], prefix=uid, Modality="DX", SOPInstanceUID=uid,
            SOPClassUID=DigitalXRayImageStorageForPresentation, SeriesInstanceUID="1.2.3", SeriesNumber=7,
            ImagePositionPatient=None, ImageOrientationPatient=None,
        )  # fmt: skip
    gather_studies(tmp_path / "in", tmp_path / "out")
    header, *rows = _listed(tmp_path / "out" / "series.csv")
    assert header == ("study", "SeriesNumber", "SeriesInstanceUID", "SOPInstanceUID")
    assert set(rows) == {(f"xray_{hashlib.sha256(uid.encode()).hexdigest()[:12]}", "7", "1.2.3", uid) for uid in uids}


def test_a_network_of_flat_images_is_shown_no_volumes_alone(tmp_path, write_nifti, caplog):
    """They were served, labelled, and refused at the first draft."""
    for name in ("a", "b"):
        write_nifti(f"in/{name}.nii.gz", _volume())
    names = gather_studies(tmp_path / "in", tmp_path / "out")
    with pytest.raises(VolumeError, match="--studies: must hold radiographs .*found volumes alone.*--overlay slabs"):
        check_dimension(tmp_path / "out", names, 2)
    (tmp_path / "out" / "damaged.nii.gz").write_bytes(b"nothing")
    with pytest.raises(VolumeError, match="found volumes alone"):
        check_dimension(tmp_path / "out", [*names, "damaged"], 2)
    check_dimension(tmp_path / "out", names, 3)
    assert "flat images" not in caplog.text
    Image.fromarray(np.zeros((5, 4), np.uint8)).save(tmp_path / "in" / "c.png")
    names = gather_studies(tmp_path / "in", tmp_path / "out")
    check_dimension(tmp_path / "out", names, 2)
    check_dimension(tmp_path / "out", names, 3)
    assert "1 flat images among what is shown as volumes: c.png" in caplog.text


def test_one_slice_as_nifti_is_flat(tmp_path, write_nifti):
    write_nifti("in/a.nii.gz", _volume()[..., :1])
    check_dimension(tmp_path / "out", gather_studies(tmp_path / "in", tmp_path / "out"), 2)


def test_two_series_of_a_folder_are_two_studies(tmp_path, write_series):
    for number in (1, 2):
        stored = np.full((3, 3, 5), number)
        write_series("in/s", stored, _positions(3), prefix=f"{number}_", SeriesInstanceUID=f"1.{number}")
    names = gather_studies(tmp_path / "in", tmp_path / "out")
    values = {float(nib.load(tmp_path / "out" / f"{name}.nii.gz").get_fdata()[0, 0, 0]) for name in names}
    assert len(names) == 2 and values == {-998.0, -996.0}


@pytest.mark.parametrize("labelled", [False, True])
def test_another_folder_shows_no_scan_of_the_former_one(tmp_path, write_nifti, labelled):
    for folder, value in (("one", 1.5), ("other", 2.5)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", np.full((3, 4, 5), value, np.float32))
    write_nifti("one/y.nii.gz", _volume())
    os.utime(tmp_path / "other" / "x.npy", (0, 0))  # older than what was converted
    out = tmp_path / "out"
    assert gather_studies(tmp_path / "one", out) == ["x", "y"]
    if labelled:
        (out / "labels" / "final").mkdir(parents=True)
        (out / "labels" / "final" / "x.nii.gz").write_bytes(b"")
        with pytest.raises(
            VolumeError, match="--studies: a labelled study must stay the scan that it was; found .*x.npy"
        ):
            gather_studies(tmp_path / "other", out)
    else:
        assert gather_studies(tmp_path / "other", out) == ["x"]
        assert not (out / "y.nii.gz").is_symlink()
    shown = nib.load(out / "x.nii.gz").get_fdata()
    np.testing.assert_array_equal(shown, 1.5 if labelled else 2.5)


def test_what_a_viewer_sent_is_not_replaced_by_a_conversion(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    np.save(tmp_path / "in" / "x.npy", np.zeros((3, 4, 5), np.float32))
    nib.save(nib.Nifti1Image(_volume(), np.eye(4)), tmp_path / "out" / "x.nii.gz")
    with pytest.raises(VolumeError, match="--studies: a name must be of one study; found .*x.npy"):
        gather_studies(tmp_path / "in", tmp_path / "out")
    np.testing.assert_array_equal(nib.load(tmp_path / "out" / "x.nii.gz").get_fdata(), _volume())


def test_a_damaged_list_of_sources_is_named(tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "x.npy", np.zeros((3, 4, 5), np.float32))
    gather_studies(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / studies.SOURCES).write_text("{")
    with pytest.raises(VolumeError, match=r"out/.sources.json: cannot be read .*put it back, or remove"):
        gather_studies(tmp_path / "in", tmp_path / "out")


def test_a_start_that_was_killed_goes_on(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in "ab":
        np.save(tmp_path / "in" / f"{name}.npy", np.full((3, 4, 5), ord(name), np.float32))
    own, seen = studies.convert_series, []

    def killed(source, target, **options):
        if seen:
            raise KeyboardInterrupt
        seen.append(source)
        own(source, target, **options)

    monkeypatch.setattr(studies, "convert_series", killed)
    with pytest.raises(KeyboardInterrupt):
        gather_studies(tmp_path / "in", tmp_path / "out")
    monkeypatch.setattr(studies, "convert_series", own)
    assert gather_studies(tmp_path / "in", tmp_path / "out") == ["a", "b"]
    for name in "ab":
        np.testing.assert_array_equal(nib.load(tmp_path / "out" / f"{name}.nii.gz").get_fdata(), ord(name))


def test_fractions_stay(tmp_path):
    np.save(tmp_path / "x.npy", np.full((3, 4, 5), 0.25, np.float32))
    assert gather_studies(tmp_path, tmp_path / "out") == ["x"]
    np.testing.assert_array_equal(nib.load(tmp_path / "out" / "x.nii.gz").get_fdata(), 0.25)


@pytest.mark.parametrize("folder", ["empty", "nowhere"])
def test_no_study(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "read.me.doc").write_bytes(b"x")
    with pytest.raises(VolumeError, match="found no study|must be a folder"):
        gather_studies(tmp_path / folder, tmp_path / "out")
