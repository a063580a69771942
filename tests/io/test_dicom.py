"""DICOM folders: the volume as GDCM gives it, and everything such a folder can hide."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from medgenesis.errors import VolumeError
from medgenesis.io.dicom import DicomReader, own_bits
from medgenesis.io.meta_nrrd import from_itk


def _read(folder):
    reader = DicomReader()
    return reader.get_data(reader.read(folder))


def _gdcm(folder):
    """The same series through SimpleITK's GDCM reader."""
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return from_itk(sitk.ReadImage(files))


def _stack(count=4, rows=3, columns=5):
    return np.random.default_rng(0).integers(0, 900, (count, rows, columns))


def _positions(count=4, step=2.0):
    return [(-10, -20, 5 + step * i) for i in range(count)]


@pytest.mark.parametrize(
    "folder",
    [
        "ct_torso_totalsegmentator/example_ct_dicom",
        "dicom_mr_series/Study1/13_HCropVolume",
        "dicom_mr_series/Study2/14_HCropVolume",
        "dicom_mr_series/Study3/11_HCropVolume",
    ],
)
def test_a_real_series_equals_what_gdcm_reads(real_data, folder):
    array, meta = _read(real_data / folder)
    expected, expected_meta = _gdcm(real_data / folder)
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_allclose(meta["affine"], expected_meta["affine"], atol=1e-4)


@pytest.mark.parametrize(
    "orientation, step",
    [
        ([1, 0, 0, 0, 1, 0], (0, 0, 2.0)),
        ([0, 1, 0, 0, 0, -1], (1.5, 0, 0)),  # sagittal: the scanner's axis does not tell the slices apart
        ([1, 0, 0, 0, 0, -1], (0, 3.0, 0)),  # coronal
        ([0.8, 0.6, 0, -0.6, 0.8, 0], (0, 0, 1.0)),
    ],
)
def test_orientation_slope_and_order(write_series, orientation, step):
    positions = [np.array([3, 4, 5]) + i * np.array(step) for i in (2, 0, 3, 1)]
    folder = write_series("s", _stack(), positions, ImageOrientationPatient=orientation)
    array, meta = _read(folder)
    expected, expected_meta = _gdcm(folder)
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_allclose(meta["affine"], expected_meta["affine"], atol=1e-4)
    assert array.min() >= -1000 and array.dtype == np.float32


def test_a_tilted_gantry_is_held_by_the_affine(write_series):
    positions = [(0, 0.5 * i, 2 * i) for i in range(4)]
    _, meta = _read(write_series("s", _stack(), positions))
    np.testing.assert_allclose(meta["affine"] @ [0, 0, 3, 1], [0, -1.5, 6, 1])  # RAS


def test_other_files_are_ignored(write_series, tmp_path):
    folder = write_series("s", _stack(), _positions())
    (folder / "notes.txt").write_text("Thumbs")
    (folder / "DICOMDIR").write_bytes(b"")
    write_series("s", _stack(1), [(0, 0, 0)], prefix="sr", Modality="SR")
    assert _read(folder)[0].shape == (5, 3, 4)


def test_several_series_are_refused_without_names(write_series):
    folder = write_series("s", _stack(), _positions())
    write_series("s", _stack(2), _positions(2), prefix="b", SeriesNumber=9)
    with pytest.raises(VolumeError, match="2 DICOM series.*series 4, 4 slices.*series 9, 2 slices") as caught:
        _read(folder)
    assert "Doe" not in str(caught.value) and "secret" not in str(caught.value)


def test_six_patients_are_no_volume(real_data):
    with pytest.raises(VolumeError, match="6 DICOM series"):
        _read(real_data / "dicom_ct_slices")


@pytest.mark.parametrize("missing", [1, 2, 4])
def test_a_missing_slice(write_series, missing):
    positions = [position for i, position in enumerate(_positions(6)) if i != missing]
    with pytest.raises(VolumeError, match=f"after slice {missing} of 5 is 4 mm, the usual one 2 mm"):
        _read(write_series("s", _stack(5), positions))


def test_positions_rounded_to_a_tenth_are_even(write_series):
    positions = [(0, 0, round(0.625 * i, 1)) for i in range(9)]
    assert _read(write_series("s", _stack(9), positions))[0].shape[2] == 9


def test_repeated_positions(write_series):
    with pytest.raises(VolumeError, match="found 1 slices that lie where another"):
        _read(write_series("s", _stack(4), [*_positions(3), _positions(3)[1]]))


@pytest.mark.parametrize(
    "tags, what",
    [
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "ImageOrientationPatient"),
        ({"PixelSpacing": [0.5, 0.8]}, "PixelSpacing"),
    ],
)
def test_slices_that_differ(write_series, tags, what):
    uid = generate_uid()
    folder = write_series("s", _stack(), _positions(), SeriesInstanceUID=uid)
    write_series("s", _stack(1), [(-10, -20, 99)], prefix="b", SeriesInstanceUID=uid, **tags)
    with pytest.raises(VolumeError, match=f"must agree in {what}"):
        _read(folder)


def test_slices_of_another_size(write_series):
    uid = generate_uid()
    folder = write_series("s", _stack(), _positions(), SeriesInstanceUID=uid)
    write_series("s", _stack(1, rows=4), [(-10, -20, 13)], prefix="b", SeriesInstanceUID=uid)
    with pytest.raises(VolumeError, match="must agree in Rows"):
        _read(folder)


def test_a_single_slice_is_a_thin_volume(write_series):
    array, meta = _read(write_series("s", _stack(1), _positions(1)))
    assert array.shape == (5, 3, 1)
    np.testing.assert_allclose(np.linalg.norm(meta["affine"][:3, :3], axis=0), [0.7, 0.5, 2.5])


def test_no_image_and_truncated_files(write_series, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(VolumeError, match="no DICOM image"):
        _read(tmp_path / "empty")
    folder = write_series("s", _stack(), _positions())
    whole = (folder / "2").read_bytes()
    (folder / "2").write_bytes(whole[:420])  # within the header, before Rows
    with pytest.raises(VolumeError, match="truncated"):
        _read(folder)


def test_a_slice_cut_before_its_pixels_is_named(write_series):
    folder = write_series("cut", _stack(), _positions())
    content = (folder / "1").read_bytes()
    (folder / "1").write_bytes(content[: content.index(b"\xe0\x7f\x10\x00")])  # the tag of the pixels
    with pytest.raises(VolumeError, match=r"cut: .*found 1 of 4 .*, the first 1 \(0 bytes behind the header"):
        _read(folder)


@pytest.mark.parametrize("signed", [0, 1])
def test_bits_beside_the_values_do_not_count(write_series, signed):
    """12 bits of 16: overlays stand in the others, and a sign may end with them."""
    values = np.random.default_rng(0).integers(-2048 if signed else 0, 2048, (4, 3, 5))
    stored = values & 0xFFF
    if not signed:
        stored[:, 1] |= 0x1000  # an overlay
    tags = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": signed}
    array, _ = _read(write_series("bits", stored, _positions(), **tags))
    np.testing.assert_array_equal(array, values.transpose(2, 1, 0) * 2 - 1000)
    np.testing.assert_array_equal(own_bits(stored.astype("<u2").view("<i2" if signed else "<u2"), 12), values)


@pytest.mark.parametrize("signed", [0, 1])
def test_values_in_the_upper_bits_are_refused(write_series, signed):
    """GDCM does not shift them, and nor does pydicom."""
    values = np.random.default_rng(0).integers(-2048 if signed else 0, 2048, (4, 3, 5))
    tags = {"BitsStored": 12, "HighBit": 15, "PixelRepresentation": signed}
    folder = write_series("upper", (values & 0xFFF) << 4, _positions(), **tags)
    assert not np.array_equal(_gdcm(folder)[0], values.transpose(2, 1, 0) * 2 - 1000)
    with pytest.raises(VolumeError, match="HighBit must be BitsStored - 1 = 11; found 15"):
        _read(folder)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_table_of_values_counts_whoever_decodes(write_series, monkeypatch, inverted):
    """GDCM leaves it aside."""
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "US", [1000, 0, 16])
    table.add_new("LUTData", "US", [7 + 3 * i for i in range(1000)])
    tags = {"ModalityLUTSequence": pydicom.Sequence([table])}
    if inverted:
        tags |= {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 16, "HighBit": 15}
    stored = _stack()
    stored = 65535 - stored if inverted else stored
    folder = write_series("table", stored, _positions(), RescaleSlope=None, RescaleIntercept=None, **tags)
    expected = 7 + 3 * _stack().transpose(2, 1, 0)
    np.testing.assert_array_equal(_read(folder)[0], expected)

    def no_decoder(self):
        raise RuntimeError("no decoder is installed")

    monkeypatch.setattr("pydicom.dataset.Dataset.pixel_array", property(no_decoder))
    np.testing.assert_array_equal(_read(folder)[0], expected)


def test_numbers_of_a_palette_are_colours(write_series):
    """One sample a pixel, and no brightness: read as grey, they would be a scan that nobody has seen."""
    with pytest.raises(VolumeError, match="palette: .*multi-frame or colour DICOM"):
        _read(write_series("palette", _stack(), _positions(), PhotometricInterpretation="PALETTE COLOR"))


def test_frames_and_missing_positions(write_series):
    with pytest.raises(VolumeError, match="multi-frame"):
        _read(write_series("frames", _stack(1), _positions(1), NumberOfFrames=3))
    with pytest.raises(VolumeError, match="must have PixelSpacing.*found 1 of 1 without"):
        _read(write_series("xray", _stack(1), _positions(1), PixelSpacing=None))


def test_what_pydicom_cannot_decode_is_read_by_gdcm(real_data, monkeypatch):
    folder = real_data / "ct_torso_totalsegmentator/example_ct_dicom"  # JPEG 2000
    expected, _ = _read(folder)

    def no_decoder(self):
        raise RuntimeError("no decoder is installed")

    monkeypatch.setattr("pydicom.dataset.Dataset.pixel_array", property(no_decoder))
    np.testing.assert_array_equal(_read(folder)[0], expected)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({}, None),
        ({"ImagesInAcquisition": 3}, None),
        ({"ImagesInAcquisition": 7}, "3 slices found, but ImagesInAcquisition is 7: some at an end may be absent"),
        ({"InstanceNumber": 5}, "3 slices found, but InstanceNumber goes from 5 to 5"),
    ],
)
def test_slices_absent_at_an_end_are_warned_of(write_series, caplog, tags, said):
    _read(write_series("s", np.zeros((3, 2, 2)), [(0, 0, i) for i in range(3)], **tags))
    assert said in caplog.text if said else "absent" not in caplog.text
