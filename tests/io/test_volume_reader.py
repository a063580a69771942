"""Every kind of file through LoadVolumed, and every way in which a file can be bad."""

import gzip
import logging
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image

from medgenesis.errors import VolumeError
from medgenesis.io import LoadVolumed, VolumeReader
from medgenesis.io.dicom_series import once
from medgenesis.io.volume_reader import _as_float32

ARRAY = np.random.default_rng(0).integers(-1000, 1000, (9, 8, 7)).astype(np.int16)


def _load(path, **record):
    return LoadVolumed("image")({"image": str(path), **record})["image"]


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.mhd", "x.mha", "x.nrrd", "x.npy", "x.npz"])
def test_every_kind_gives_the_same_volume(tmp_path, write_nifti, name):
    path = tmp_path / name
    if ".nii" in name:
        write_nifti(name, ARRAY)
    elif name == "x.npy":
        np.save(path, ARRAY)
    elif name == "x.npz":
        np.savez(path, ARRAY)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(ARRAY.T), str(path))
    volume = _load(path)
    assert volume.shape == (1, 9, 8, 7) and volume.dtype == torch.float32
    np.testing.assert_array_equal(volume[0].numpy(), ARRAY)
    assert volume.meta["filename_or_obj"] == str(path)


def test_slope_and_intercept_of_a_nifti(tmp_path):
    import nibabel

    image = nibabel.Nifti1Image(ARRAY, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "x.nii")
    np.testing.assert_allclose(_load(tmp_path / "x.nii")[0].numpy(), nibabel.load(tmp_path / "x.nii").get_fdata())


@pytest.mark.parametrize("shape, channels", [((9, 8, 7, 1), 1), ((9, 8, 7, 3), 3), ((9, 8, 7, 1, 3), 3)])
def test_a_fourth_axis_is_the_channel(write_nifti, shape, channels):
    array = np.random.default_rng(1).random(shape).astype(np.float32)
    volume = _load(write_nifti("x.nii.gz", array))
    assert volume.shape == (channels, 9, 8, 7)
    np.testing.assert_array_equal(volume.numpy(), np.moveaxis(array.reshape(9, 8, 7, channels), -1, 0))


def test_several_files_are_channels(write_nifti):
    files = [write_nifti("a.nii", ARRAY), write_nifti("b.nii", ARRAY + 1)]
    volume = LoadVolumed("image")({"image": files})["image"]
    np.testing.assert_array_equal(volume.numpy(), np.stack([ARRAY, ARRAY + 1]))
    with pytest.raises(VolumeError, match="share one grid"):
        LoadVolumed("image")({"image": [files[0], write_nifti("c.nii", ARRAY[1:])]})


def test_a_cube_of_a_stack(tmp_path):
    stack = np.random.default_rng(2).random((4, 6, 6, 3))
    np.save(tmp_path / "bat_32_s_64x64x32_0.npy", stack)
    volume = _load(tmp_path / "bat_32_s_64x64x32_0.npy", cube=2)
    np.testing.assert_array_equal(volume[0].numpy(), stack[2].astype(np.float32))


def test_no_name_of_a_patient_stays_in_the_meta_data(tmp_path):
    import nibabel

    image = nibabel.Nifti1Image(ARRAY, np.eye(4))
    image.header["descrip"] = b"Doe^Jane"
    nibabel.save(image, tmp_path / "x.nii")
    assert "Doe" not in repr(_load(tmp_path / "x.nii").meta)


def _truncated(path: Path, share: float = 0.5) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize("kind", ["nii", "nii.gz", "mha", "mhd", "nrrd", "npy", "npz", "png", "dicom"])
def test_truncated_files(tmp_path, write_nifti, write_series, kind):
    path = tmp_path / f"x.{kind}"
    if kind.startswith("nii"):
        write_nifti(path.name, ARRAY)
    elif kind in ("npy", "npz"):
        (np.save if kind == "npy" else np.savez)(path, ARRAY)
    elif kind == "png":
        Image.fromarray(ARRAY[0].astype(np.uint8).repeat(20, 0)).save(path)
    elif kind == "dicom":
        path = write_series("s", np.full((3, 30, 30), 7), [(0, 0, i) for i in range(3)])
        _truncated(path / "1")
    else:
        sitk.WriteImage(sitk.GetImageFromArray(ARRAY.T), str(path))
    if kind == "mhd":
        _truncated(tmp_path / "x.raw")
    elif kind != "dicom":
        _truncated(path)
    with pytest.raises(VolumeError, match=f"{path.name}.*truncated or damaged"):
        _load(path)


def test_bad_paths(tmp_path):
    with pytest.raises(VolumeError, match="absent.nii.gz: must be a file or folder"):
        _load(tmp_path / "absent.nii.gz")
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(VolumeError, match="x.txt: must be .nii"):
        _load(tmp_path / "x.txt")
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(b"no nifti at all"))
    with pytest.raises(VolumeError, match="x.nii.gz: cannot be read"):
        _load(tmp_path / "x.nii.gz")
    np.save(tmp_path / "c.npy", np.zeros((2, 2, 2), complex))
    with pytest.raises(VolumeError, match="complex128"):
        _load(tmp_path / "c.npy")


def test_real_files_of_every_kind(real_data, caplog):
    caplog.set_level(logging.WARNING)
    once.cache_clear()  # what another test has heard is said again
    for name, shape in {
        "ct_chest_cip/ct-64.nrrd": (1, 64, 64, 79),
        "ct_torso_totalsegmentator/example_ct.nii.gz": (1, 122, 101, 112),
        "ct_torso_totalsegmentator/example_ct_dicom": (1, 512, 512, 20),
        "dicom_ct_slices/A046441_19010101-23.dcm": (1, 512, 512, 1),
        "cxr_nih/No_findings/00001280_004.png": (1, 1024, 1024),
    }.items():
        assert _load(real_data / name).shape == shape
    said = [record.getMessage() for record in caplog.records]
    assert said and all("example_ct_dicom" in one for one in said)  # 20 slices of a longer series: that is said


def test_the_reader_knows_what_it_reads(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    assert VolumeReader().verify_suffix(["a.nii.gz", tmp_path])
    assert not VolumeReader().verify_suffix(tmp_path / "x.txt")


@pytest.mark.parametrize("dtype", ["i2", ">i2", "u1", "f8", "?", "u8"])
@pytest.mark.parametrize("shape", [(5, 6), (1, 1, 1), (33, 2, 9), (70, 5, 17), (40, 7, 19, 3)])
def test_voxels_of_any_order_in_memory_become_float32_as_by_numpy(shape, dtype):
    values = (np.random.default_rng(0).normal(0, 90, shape)).clip(0).astype(dtype)
    for array in (values, np.asfortranarray(values), values.T, values[::-1, ::2], np.moveaxis(values, 0, 1)):
        found, expected = _as_float32(array), array.astype(np.float32, order="C")
        assert found.dtype == np.float32 and found.flags.c_contiguous
        assert np.array_equal(found, expected)
