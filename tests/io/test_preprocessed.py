"""Arrays of nnU-Net's preprocessing: three kinds of files, one content."""

import numpy as np
import pytest

from medgenesis.errors import VolumeError
from medgenesis.io.preprocessed import is_preprocessed
from medgenesis.io.volume_reader import LoadVolumed, VolumeReader

RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(2, 5, 7, 6)).astype(np.float32)
SEG = RNG.integers(-1, 4, (1, 5, 7, 6)).astype(np.int8)


def write(folder, suffix):
    """An image and its label map, and their paths."""
    image, label = folder / f"case{suffix}", folder / f"case_seg{suffix}"
    if suffix == ".npz":
        np.savez_compressed(image, data=DATA, seg=SEG)
        return image, image
    if suffix == ".npy":
        np.save(image, DATA)
        np.save(label, SEG)
    else:
        blosc2 = pytest.importorskip("blosc2")
        for array, path in ((DATA, image), (SEG, label)):
            blosc2.asarray(array, urlpath=str(path), mode="w", chunks=(1, 5, 7, 6), blocks=(1, 2, 3, 3))
    return image, label


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".b2nd"])
def test_images_and_label_maps_are_read_with_their_channels(tmp_path, suffix):
    image, label = write(tmp_path, suffix)
    assert is_preprocessed(image) and is_preprocessed(label)
    record = {"image": str(image), "label": str(label)}
    read = LoadVolumed(("image", "label"), label_keys=("label",))(record)
    np.testing.assert_array_equal(read["image"], DATA)
    np.testing.assert_array_equal(read["label"], np.maximum(SEG, 0))
    assert VolumeReader().channels(str(image)) == 2


def test_other_numpy_files_are_read_as_before(tmp_path):
    np.save(tmp_path / "volume.npy", DATA[0])
    np.savez(tmp_path / "one.npz", DATA[0])
    assert not is_preprocessed(tmp_path / "volume.npy") and not is_preprocessed(tmp_path / "one.npz")
    np.testing.assert_array_equal(LoadVolumed("image")({"image": str(tmp_path / "one.npz")})["image"][0], DATA[0])


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path):
    image, _ = write(tmp_path, ".npz")
    np.savez(tmp_path / "objects.npz", data=np.array([{}], dtype=object), seg=SEG)
    np.savez(tmp_path / "flat.npz", data=DATA[0], seg=SEG)
    whole = image.read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bad.b2nd").write_bytes(b"no frame at all" * 100)
    for name, message in (
        ("objects.npz", "cannot be read"),
        ("flat.npz", r"must be \(channel, \*three axes\)"),
        ("cut.npz", "cannot be read"),
        ("bad.b2nd", "cannot be read|needs blosc2"),
    ):
        with pytest.raises(VolumeError, match=message) as found:
            LoadVolumed("image")({"image": str(tmp_path / name)})
        assert name in str(found.value)


def test_a_blosc_file_that_is_evaluated_is_not_opened(tmp_path):
    blosc2 = pytest.importorskip("blosc2")
    numbers = blosc2.asarray(DATA, urlpath=str(tmp_path / "numbers.b2nd"), mode="w")
    (numbers + 1).save(urlpath=str(tmp_path / "lazy.b2nd"))
    with pytest.raises(VolumeError, match="found another object of Blosc2, which could run code"):
        LoadVolumed("image")({"image": str(tmp_path / "lazy.b2nd")})


def test_without_blosc2_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "blosc2", None)
    (tmp_path / "a.b2nd").write_bytes(b"x" * 100)
    with pytest.raises(
        VolumeError, match=r'needs blosc2 to be read; found none. Install it: pip install "medgenesis\[nn'
    ):
        LoadVolumed("image")({"image": str(tmp_path / "a.b2nd")})
