"""Channels by the header are those that reading gives."""

import gzip

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from medgenesis.data import channels_of
from medgenesis.errors import VolumeError
from medgenesis.io import LoadVolumed


def write(path, shape, channels):
    """An image of this shape in space; 0 channels: without an axis of them."""
    array = np.arange(np.prod(shape) * max(1, channels), dtype=np.uint8)
    if path.suffix in (".nii", ".gz"):
        nibabel.save(nibabel.Nifti1Image(array.reshape((*shape, channels) if channels else shape), np.eye(4)), path)
    elif path.suffix in (".npy", ".npz"):
        (np.save if path.suffix == ".npy" else np.savez)(path, array.reshape(shape))
    else:
        array = array.reshape((*shape, channels) if channels else shape)
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=channels > 0), str(path))


@pytest.mark.parametrize(
    "suffix, channels",
    [(suffix, n) for suffix in (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr") for n in (0, 1, 3)]
    + [(".npy", 0), (".npz", 0)],
)
def test_as_reading_gives(tmp_path, suffix, channels):
    record = {"image": str(tmp_path / f"x{suffix}")}
    write(tmp_path / f"x{suffix}", (4, 5, 6), channels)
    assert channels_of([record]) == len(LoadVolumed("image")(record)["image"]) == max(1, channels)


def test_times_are_channels(tmp_path):
    for name in ("t.mha", "t.nrrd"):
        image = sitk.JoinSeries([sitk.GetImageFromArray(np.full((4, 5, 6), time, np.uint8)) for time in range(3)])
        sitk.WriteImage(image, str(tmp_path / name))
        record = {"image": str(tmp_path / name)}
        assert channels_of([record]) == len(LoadVolumed("image")(record)["image"]) == 3


def test_rows_files_and_images(tmp_path):
    np.save(tmp_path / "stack.npy", np.zeros((7, 2, 4, 5, 6), np.uint8))
    assert channels_of([{"image": str(tmp_path / "stack.npy"), "cube": 3}]) == 2
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "colour.png")
    assert channels_of([{"image": str(tmp_path / "colour.png")}]) == 1
    write(tmp_path / "a.nii", (4, 5, 6), 0)
    assert channels_of([{"image": [str(tmp_path / "a.nii")] * 4}]) == 4
    assert channels_of([]) == 1


def test_the_header_is_enough_and_is_needed(tmp_path):
    write(tmp_path / "x.nii", (4, 5, 6), 2)
    (tmp_path / "head.nii.gz").write_bytes(gzip.compress((tmp_path / "x.nii").read_bytes()[:400]))
    (tmp_path / "cut.nii").write_bytes((tmp_path / "x.nii").read_bytes()[:40])
    head, cut = ({"image": str(tmp_path / name)} for name in ("head.nii.gz", "cut.nii"))
    assert channels_of([head]) == 2, "no voxel is read"
    with pytest.raises(VolumeError, match="cut.nii: cannot be read"):
        channels_of([cut])
    assert channels_of([cut, head], on_error="skip") == 2


def test_one_stray_file_does_not_decide_which_are_skipped(tmp_path):
    for number, channels in enumerate((4, 1, 1)):
        write(tmp_path / f"{number}.nii", (4, 5, 6), channels)
    records = [{"image": str(tmp_path / f"{number}.nii")} for number in range(3)]
    assert channels_of(records, "skip") == 1 and channels_of(records) == 4
