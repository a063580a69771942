"""Results in every format lie where the study lies, as nibabel and SimpleITK read them."""

import resource
import tempfile

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from monai.data import MetaTensor
from PIL import Image

from medgenesis.errors import OutputError, VolumeError
from medgenesis.io.volume_reader import VolumeReader
from medgenesis.label_app.labels import write_flat
from medgenesis.label_app.results import described, extension_of, write_result

CLASSES = {"lungs": 1, "liver": 2}


def _oblique():
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = rotation @ np.diag([0.7, 1.1, 3.0]), [5, -7, 11]
    return affine


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_volumes(extension):
    values, affine = np.random.default_rng(0).integers(0, 3, (4, 5, 6)), _oblique()
    path = write_result(MetaTensor(values[None], affine=affine), CLASSES, extension)
    reader = VolumeReader(labels=True)
    array, meta = reader.get_data(reader.read(path))
    np.testing.assert_array_equal(array, values)
    np.testing.assert_allclose(meta["affine"], affine, atol=1e-4)
    assert sitk.ReadImage(path).GetPixelID() == sitk.sitkUInt8 if "nii" not in extension else nib.load(path)


def test_flat_images():
    values = np.random.default_rng(0).integers(0, 3, (4, 6))
    path = write_result(MetaTensor(values[None].astype(np.float32), affine=np.eye(4)), CLASSES, ".png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)).T, values)


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd"])
def test_flat_images_as_volumes_of_one_slice_come_back(tmp_path, extension):
    """As 3D Slicer is given a result and saves it: no corner changes places."""
    values = np.random.default_rng(1).integers(0, 3, (4, 6))
    path = write_result(MetaTensor(values[None].astype(np.float32), affine=np.eye(4)), CLASSES, extension)
    np.testing.assert_array_equal(np.asarray(Image.open(write_flat(path, tmp_path / "back.png"))).T, values)


def test_names_are_those_of_what_is_there():
    label_map = MetaTensor(np.array([0, 2, 2]).reshape(1, 3, 1, 1))
    assert described(label_map, CLASSES) == {
        "label_names": {"liver": 2},
        "label_colors": {"liver": [86, 180, 233]},
        "voxels": {"liver": 2},
    }


def test_formats():
    assert extension_of("a/b.c.nii.gz", None) == ".nii.gz"
    assert [extension_of(name, None) for name in ("x.nrrd", "x.jpg", "x.npy", "folder")] == [
        ".nrrd",
        ".png",
        ".nii.gz",
        ".nii.gz",
    ]
    assert extension_of("x.nrrd", "nii.gz") == ".nii.gz"
    with pytest.raises(VolumeError, match="result_extension"):
        write_result(MetaTensor(np.zeros((1, 2, 2, 2))), CLASSES, ".doc")


@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha"])
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path, monkeypatch, extension):
    """Files of 100 bytes at most: as on a disk with so much space left."""
    if extension == ".seg.nrrd":
        pytest.importorskip("monailabel")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    label_map = MetaTensor(np.random.default_rng(0).integers(0, 3, (1, 16, 16, 16)), affine=np.eye(4))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_result(label_map, CLASSES, extension)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extension", [".jpg", ".jpeg", ".xyz"])
def test_a_format_that_no_flat_label_map_has_is_refused_by_its_name(extension):
    """JPEG changes values; the message spoke of a full disk."""
    with pytest.raises(VolumeError, match=f"result_extension: must be .*found '{extension}'"):
        write_result(MetaTensor(np.ones((1, 4, 6), np.uint8), affine=np.eye(4)), CLASSES, extension)
