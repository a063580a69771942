"""What OHIF is told of a study lies where the study lies, in a right-handed order, and names nobody."""

import os

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from medgenesis.errors import VolumeError
from medgenesis.label_app.shown_series import display_file, shown_series


def _turned(axes, signs):
    angle = np.deg2rad(12)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (turn @ np.eye(3)[:, axes]) * signs * [0.7, 1.3, 2.5]
    affine[:3, 3] = [11, -7, 123.456]
    return affine


def _cloud(slices, shown):
    """World coordinates (LPS) -> value, as a DICOM viewer places pixels (PS3.3 C.7.6.2.1.1)."""
    found = {}
    for data in map(Dataset.from_json, slices):
        stored = np.frombuffer(shown.frame(data.SOPInstanceUID), "<i2" if data.PixelRepresentation else "<u2")
        pixels = stored.reshape(data.Rows, data.Columns) * float(data.RescaleSlope) + float(data.RescaleIntercept)
        right, down = np.reshape([float(one) for one in data.ImageOrientationPatient], (2, 3))
        for (row, column), value in np.ndenumerate(pixels):
            place = np.array([float(one) for one in data.ImagePositionPatient])
            place = place + right * float(data.PixelSpacing[1]) * column + down * float(data.PixelSpacing[0]) * row
            found[tuple(np.round(place, 2) + 0.0)] = value
    return found


@settings(max_examples=12, deadline=None)
@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([-1, 1])] * 3), st.booleans())
def test_pixels_lie_where_voxels_lie(tmp_path_factory, axes, signs, whole):
    folder = tmp_path_factory.mktemp("shown")
    rng = np.random.default_rng(0)
    values = rng.integers(-1000, 1000, (3, 4, 5)).astype(np.int16) if whole else rng.normal(size=(3, 4, 5))
    affine = _turned(list(axes), np.array(signs))
    nib.save(nib.Nifti1Image(values, affine), folder / "scan.nii.gz")
    file = display_file(folder / "scan.nii.gz", "scan", folder / "ohif")
    shown = shown_series(file, "scan", "CT")
    slices = shown.metadata()
    lps = np.diag([-1, -1, 1, 1]) @ affine
    expected = {tuple(np.round((lps @ [*index, 1])[:3], 2) + 0.0): value for index, value in np.ndenumerate(values)}
    found = _cloud(slices, shown)
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[key] for key in expected], list(expected.values()), atol=0 if whole else 1e-3)
    first, last = Dataset.from_json(slices[0]), Dataset.from_json(slices[-1])
    right, down = np.reshape([float(one) for one in first.ImageOrientationPatient], (2, 3))
    along = np.subtract(last.ImagePositionPatient, first.ImagePositionPatient).astype(float)
    assert np.cross(right, down) @ along > 0  # slices in the order in which viewers sort them
    assert {str(Dataset.from_json(one).PatientName) for one in slices} == {"scan"}


def test_a_study_in_order_is_no_copy_and_a_copy_is_kept_up_to_date(tmp_path):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.diag([-1.0, -1, 2, 1]))
    nib.save(image, tmp_path / "lps.nii.gz")
    assert display_file(tmp_path / "lps.nii.gz", "lps", tmp_path / "ohif") == tmp_path / "lps.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "ras.nii.gz")
    copy = display_file(tmp_path / "ras.nii.gz", "ras", tmp_path / "ohif")
    nib.save(nib.Nifti1Image(np.ones((3, 4, 5), np.int16), np.eye(4)), tmp_path / "ras.nii.gz")
    assert display_file(tmp_path / "ras.nii.gz", "ras", tmp_path / "ohif") == copy
    assert nib.load(copy).get_fdata().all()
    nib.save(nib.Nifti1Image(np.full((3, 4, 5), 2, np.int16), np.eye(4)), tmp_path / "ras.nii.gz")
    os.utime(tmp_path / "ras.nii.gz", ns=(10**18, 10**18))  # an older file, put back
    display_file(tmp_path / "ras.nii.gz", "ras", tmp_path / "ohif")
    assert (nib.load(copy).get_fdata() == 2).all()
    written = copy.stat().st_mtime_ns
    assert (
        display_file(tmp_path / "ras.nii.gz", "ras", tmp_path / "ohif") == copy and copy.stat().st_mtime_ns == written
    )
    (tmp_path / "other").mkdir()
    nib.save(nib.Nifti1Image(np.full((3, 4, 5), 3, np.int16), np.eye(4)), tmp_path / "other" / "ras.nii.gz")
    os.utime(tmp_path / "other" / "ras.nii.gz", ns=(10**18, 10**18))
    display_file(tmp_path / "other" / "ras.nii.gz", "ras", tmp_path / "ohif")  # of another folder, of the same time
    assert (nib.load(copy).get_fdata() == 3).all()


def test_what_ohif_cannot_show_is_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5, 2), np.int16), np.eye(4)), tmp_path / "several.nii.gz")
    with pytest.raises(VolumeError):
        display_file(tmp_path / "several.nii.gz", "several", tmp_path / "ohif")
    sheared = np.eye(4)
    sheared[0, 2] = 0.3
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), sheared), tmp_path / "tilted.nii.gz")
    with pytest.raises(VolumeError, match="axes must be at right angles"):
        shown_series(tmp_path / "tilted.nii.gz", "tilted", "CT")
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.diag([-1.0, -1, 1, 1])), tmp_path / "one.nii.gz")
    with pytest.raises(VolumeError, match="slices must be of 1 to 5; found 6"):
        shown_series(tmp_path / "one.nii.gz", "one", "CT").frame("1.2.6")
