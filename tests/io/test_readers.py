"""SimpleITKReader against NibabelReader; NumPy stacks row by row; images as one grey channel."""

import numpy as np
import pytest
import SimpleITK as sitk
from monai.data import NibabelReader
from PIL import Image

from medgenesis.errors import VolumeError
from medgenesis.io.images import GreyReader
from medgenesis.io.meta_nrrd import SimpleITKReader, from_itk
from medgenesis.io.readers import ArrayReader, array_shape

OBLIQUE = np.array([[-1.9, 0.2, 0.1, 30.0], [0.15, -0.95, 0.3, -12.0], [0.1, 0.2, 2.9, 7.0], [0, 0, 0, 1]])


def _rigid(spacing):
    rotation, _ = np.linalg.qr(OBLIQUE[:3, :3])
    return np.vstack([np.c_[rotation * spacing, OBLIQUE[:3, 3]], [0, 0, 0, 1]])


def test_simpleitk_reads_a_nifti_as_nibabel_does(write_nifti):
    array = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    path = write_nifti("scan.nii.gz", array, _rigid([0.7, 1.3, 2.5]))
    reference = NibabelReader()
    got, meta = from_itk(sitk.ReadImage(path))
    expected, expected_meta = reference.get_data(reference.read(path))
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(meta["affine"], expected_meta["affine"], atol=1e-5)
    np.testing.assert_array_equal(meta["spatial_shape"], expected_meta["spatial_shape"])
    assert np.isnan(meta["original_channel_dim"])


@pytest.mark.parametrize("suffix", ["mhd", "mha", "nrrd"])
def test_every_format_holds_the_same_volume(tmp_path, write_nifti, suffix):
    array = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    nifti = write_nifti("scan.nii", array, _rigid([1, 2, 3]))
    other = tmp_path / f"scan.{suffix}"
    sitk.WriteImage(sitk.ReadImage(nifti), str(other))
    reader = SimpleITKReader()
    got, meta = reader.get_data(reader.read(str(other)))
    np.testing.assert_array_equal(got, array)
    np.testing.assert_allclose(meta["affine"], _rigid([1, 2, 3]), atol=1e-4)


def test_vector_voxels_and_time_become_the_channel(tmp_path):
    vector = sitk.GetImageFromArray(np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2).astype(np.float32), isVector=True)
    sitk.WriteImage(vector, str(tmp_path / "v.nrrd"))
    reader = SimpleITKReader()
    array, meta = reader.get_data(reader.read(str(tmp_path / "v.nrrd")))
    assert array.shape == (4, 3, 2, 2) and meta["original_channel_dim"] == -1
    assert array[3, 1, 0, 1] == sitk.GetArrayFromImage(vector)[0, 1, 3, 1]
    time = sitk.JoinSeries([sitk.GetImageFromArray(np.full((2, 3, 4), t, np.float32)) for t in range(5)])
    array, meta = from_itk(time)
    assert array.shape == (4, 3, 2, 5) and (array[..., 3] == 3).all() and len(meta["spatial_shape"]) == 3


def test_one_row_of_a_stack_is_read_without_the_others(tmp_path):
    stack = np.random.default_rng(2).random((3, 4, 5, 2))  # float64, as published
    np.save(tmp_path / "bat.npy", stack)
    reader = ArrayReader(row=1)
    opened = reader.read(tmp_path / "bat.npy")
    assert isinstance(opened, np.memmap)
    array, meta = reader.get_data(opened)
    np.testing.assert_array_equal(array, stack[1])
    np.testing.assert_array_equal(meta["affine"], np.diag([-1, -1, 1, 1]))


@pytest.mark.parametrize("row", [3, -1])
def test_a_row_that_is_not_there(tmp_path, row):
    np.save(tmp_path / "bat.npy", np.zeros((3, 4, 5, 2)))
    with pytest.raises(VolumeError, match="bat.npy.*from 0 to 2"):
        ArrayReader(row=row).read(tmp_path / "bat.npy")


def test_a_stack_needs_a_row_and_an_archive_one_array(tmp_path):
    np.save(tmp_path / "bat.npy", np.zeros((3, 4, 5, 2)))
    with pytest.raises(VolumeError, match="stack of cubes"):
        ArrayReader().read(tmp_path / "bat.npy")
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.zeros(2))
    with pytest.raises(VolumeError, match=r"found 2 \(a, b\)"):
        ArrayReader().read(tmp_path / "two.npz")
    np.savez(tmp_path / "one.npz", a=np.ones((2, 3, 4)))
    assert ArrayReader().read(tmp_path / "one.npz").shape == (2, 3, 4)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_images_become_one_grey_channel(tmp_path, mode):
    grey = np.random.default_rng(3).integers(0, 256, (4, 6)).astype(np.uint8)
    Image.fromarray(grey).convert(mode).save(tmp_path / "x.png")
    reader = GreyReader()
    array, meta = reader.get_data(reader.read(str(tmp_path / "x.png")))
    np.testing.assert_array_equal(array, grey.T)
    assert tuple(meta["spatial_shape"]) == (6, 4)


def test_sixteen_bits_are_kept(tmp_path):
    grey = np.array([[0, 300], [40000, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "x.png")
    reader = GreyReader()
    np.testing.assert_array_equal(reader.get_data(reader.read(str(tmp_path / "x.png")))[0], grey.T)


def test_the_shape_of_an_array_without_its_voxels(tmp_path, monkeypatch):
    stack = np.zeros((5, 2, 4, 6, 3), np.float32)
    np.save(tmp_path / "s.npy", stack)
    np.savez_compressed(tmp_path / "s.npz", stack)
    monkeypatch.setattr("numpy.lib.format.read_array", None)
    monkeypatch.setattr("numpy.load", None)
    for name in ("s.npy", "s.npz"):
        assert array_shape(tmp_path / name) == stack.shape
        assert ArrayReader(row=1).channels(tmp_path / name) == 2


@pytest.mark.parametrize("content", [b"", b"no array", b"PK\x03\x04"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_damaged_array_is_named_by_its_header_too(tmp_path, suffix, content):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=f"x{suffix}: cannot be read, truncated or damaged"):
        array_shape(path)
