"""DICOM files that cannot be read, that lack the mark, that are something else: none is passed over."""

import uuid

import hypothesis.strategies as st
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from medgenesis.errors import VolumeError
from medgenesis.io.dicom import DicomReader
from medgenesis.io.dicom_files import folder_files, is_dicom, series_of
from medgenesis.io.volume_reader import VolumeReader

COUNT = 6


def _read(folder, series=None):
    reader = DicomReader(series)
    return reader.get_data(reader.read(folder))


def _stack(count=COUNT, rows=3, columns=5):
    return np.random.default_rng(0).integers(0, 900, (count, rows, columns))


def _positions(count=COUNT):
    return [(-10, -20, 5 + 2 * i) for i in range(count)]


def _xray(write_series, folder, **tags):
    without_place = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    sop = {"SOPClassUID": DigitalXRayImageStorageForPresentation}
    return write_series(folder, _stack(1), [(0, 0, 0)], **{**sop, **without_place, **tags}) / "0"


DAMAGE = {
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "clipped": lambda content: content[: len(content) - 20],
    "header": lambda content: content[:300],
    "no mark": lambda content: bytes(200) + content[132:],
}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.sets(st.integers(0, COUNT - 1), min_size=1, max_size=3),
    damage=st.sampled_from(sorted(DAMAGE)),
    name=st.sampled_from(["{}.dcm", "IM{:04}", "{}", "1.2.840.{}.9", "3f2504e0-4f89-{:012x}"]),
)
def test_a_slice_that_cannot_be_read_is_an_error_wherever_it_is(write_series, at, damage, name):
    folder = write_series(uuid.uuid4().hex, _stack(), _positions())
    for i in range(COUNT):
        content = (folder / str(i)).read_bytes()
        (folder / str(i)).unlink()
        if i not in at:
            (folder / name.format(i)).write_bytes(content)
        elif damage != "no mark" or name.endswith(".dcm"):  # bytes of no kind are a slice by their suffix alone
            (folder / name.format(i)).write_bytes(DAMAGE[damage](content))
        else:
            (folder / name.format(i)).write_bytes(b"")
    with pytest.raises(VolumeError, match=f"found {len(at)} of {COUNT} that are empty, truncated or damaged"):
        _read(folder)


@pytest.mark.parametrize("where", [(0, 1), (2,), (4, 5), range(COUNT)])
def test_slices_without_the_mark_are_read(write_series, where):
    folder = write_series("s", _stack(), _positions())
    expected = _read(folder)
    for i in where:
        path = folder / str(i)
        path.write_bytes(path.read_bytes()[132:])
    assert is_dicom(folder / str(where[0]))
    array, meta = _read(folder)
    np.testing.assert_array_equal(array, expected[0])
    np.testing.assert_array_equal(meta["affine"], expected[1]["affine"])


def test_neither_mark_nor_meta_header_as_gdcm_reads_it(write_series):
    path = write_series("s", _stack(1), [(0, 0, 0)]) / "0"
    dataset = pydicom.dcmread(path)
    del dataset.file_meta
    if int(pydicom.__version__.split(".")[0]) >= 3:
        dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    else:
        dataset.is_implicit_VR, dataset.is_little_endian = True, True
        dataset.save_as(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    np.testing.assert_array_equal(_read(path)[0][..., 0].T, sitk.GetArrayFromImage(reader.Execute())[0])


def test_a_file_that_is_named_as_dicom_and_is_not(tmp_path):
    (tmp_path / "x.dcm").write_bytes(b"no DICOM at all " * 20)
    with pytest.raises(VolumeError, match=r"x.dcm: must be DICOM, as its name says.*dcmconv"):
        VolumeReader().read(str(tmp_path / "x.dcm"))


def test_junk_and_reports_are_told_from_slices(write_series):
    folder = write_series("s", _stack(), _positions())
    (folder / "notes.txt").write_text("Thumbs")
    (folder / "DICOMDIR").write_bytes(b"")
    write_series("s", _stack(1), [(0, 0, 0)], prefix="sr", Modality="SR")
    found = folder_files(folder)
    assert len(found.images) == COUNT and [path.name for path in found.others] == ["sr0"]
    assert [path.name for path in found.foreign] == ["notes.txt"]
    assert [path.name for path in found.unreadable] == ["DICOMDIR"] and not found.unreadable_slices()


def test_one_of_several_series_and_patients_is_read_by_its_name(write_series):
    folder = write_series("s", _stack(), _positions(), PatientID="one")
    write_series("s", _stack(2) + 7, _positions(2), prefix="b", PatientID="two")
    by_series = {series_of(header): header.PatientID for header in folder_files(folder).images}
    assert sorted(by_series.values()) == ["one", "two"]
    shapes = {by_series[series]: _read(folder, series)[0].shape[2] for series in by_series}
    assert shapes == {"one": COUNT, "two": 2}
    with pytest.raises(VolumeError, match="no DICOM image of it"):
        _read(folder, "0" * 12)


def test_two_patients_under_one_uid_are_two_series(write_series):
    uid = generate_uid()
    folder = write_series("s", _stack(), _positions(), SeriesInstanceUID=uid)
    write_series("s", _stack(2), [(0, 0, 50), (0, 0, 52)], prefix="b", SeriesInstanceUID=uid, PatientID="other")
    with pytest.raises(VolumeError, match="found 2 DICOM series"):
        _read(folder)


def test_a_localizer_beside_the_slices_is_left_out_by_name(write_series, caplog):
    uid = generate_uid()
    folder = write_series("s", _stack(), _positions(), SeriesInstanceUID=uid)
    expected = _read(folder)[0]
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}
    write_series("s", _stack(1), [(0, 0, 0)], prefix="scout", SeriesInstanceUID=uid, **scout)
    np.testing.assert_array_equal(_read(folder)[0], expected)
    assert "left out 1 localizer(s)" in caplog.text


@pytest.mark.parametrize("modality", ["DX", None, "OT", "PX", "IO"])
def test_the_sop_class_says_what_is_a_radiograph(write_series, modality):
    path = _xray(write_series, "x", Modality=modality)
    assert _read(path)[0].shape == (5, 3)


def test_a_captured_screen_is_refused_by_its_modality(write_series):
    path = _xray(write_series, "x", SOPClassUID=SecondaryCaptureImageStorage, Modality="OT")
    with pytest.raises(VolumeError, match=r"\(OT; radiographs have.*set Modality"):
        _read(path)


@pytest.mark.parametrize("tags", [{"RescaleSlope": None, "RescaleIntercept": None}, {"RescaleSlope": ""}])
def test_an_empty_slope_is_one(write_series, tags):
    path = _xray(write_series, "x", **{"RescaleIntercept": 0, **tags})
    np.testing.assert_array_equal(_read(path)[0].T, _stack(1)[0])
    with pytest.raises(VolumeError, match="RescaleSlope must be finite and not 0"):
        _read(_xray(write_series, "y", RescaleSlope=0))


@pytest.mark.parametrize("bits, signed", [(16, 0), (12, 0), (16, 1)])
def test_min_is_white_of_volumes_is_inverted_as_gdcm_does(write_series, bits, signed, caplog):
    folder = write_series(
        *("s", _stack(), _positions()),
        **{"PhotometricInterpretation": "MONOCHROME1", "BitsStored": bits, "HighBit": bits - 1},
        **{"PixelRepresentation": signed, "SOPClassUID": CTImageStorage},
    )
    expected = sitk.GetArrayFromImage(sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))))
    np.testing.assert_array_equal(_read(folder)[0].transpose(2, 1, 0), expected)
    assert f"{folder}: MONOCHROME1" in caplog.text


def test_a_slice_that_is_cut_anywhere_is_missed(write_series):
    """Also right behind the mark, where it does not yet say that it is an image."""
    folder = write_series("s", _stack(), _positions())
    whole = (folder / "0").read_bytes()
    for length in (0, *range(132, 420, 3), *range(420, len(whole), 20)):
        (folder / "0").write_bytes(whole[:length])
        with pytest.raises(VolumeError, match="s"):
            _read(folder)
            pytest.fail(f"read, though a slice ends after {length} bytes")
