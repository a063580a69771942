"""A file is what its suffix says, and a file at all."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile

import nibabel
import numpy as np
import pytest
from PIL import Image

from medgenesis.errors import VolumeError
from medgenesis.io import LoadVolumed

ARRAY = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def load(path):
    return LoadVolumed("image")({"image": str(path)})["image"]


@pytest.fixture
def nifti(tmp_path):
    for name in ("x.nii", "x.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(ARRAY, np.eye(4)), tmp_path / name)
    return tmp_path


def test_misnamed_nifti(nifti):
    (nifti / "x.nii").rename(nifti / "plain.nii.gz")
    (nifti / "x.nii.gz").rename(nifti / "packed.nii")
    with pytest.raises(VolumeError, match="plain.nii.gz: .*found a NIfTI, not compressed though .*Name it .nii.$"):
        load(nifti / "plain.nii.gz")
    with pytest.raises(VolumeError, match="packed.nii: .*found a gzip stream of a NIfTI. Name it .nii.gz.$"):
        load(nifti / "packed.nii")


@pytest.mark.parametrize("name", ["X.Nii", "X.NII.GZ", "X.PNG", "X.Npy"])
def test_suffixes_in_capitals(tmp_path, name):
    if "ii" in name.lower():
        nibabel.save(nibabel.Nifti1Image(ARRAY, np.eye(4)), tmp_path / name.lower())
    elif name == "X.PNG":
        Image.fromarray(ARRAY[0].astype(np.uint8)).save(tmp_path / name.lower())
    else:
        np.save(tmp_path / name.lower(), ARRAY)
    (tmp_path / name.lower()).rename(tmp_path / name)
    assert load(tmp_path / name).shape[0] == 1


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".npy", ".npz", ".png", ".jpg", ".tif"])
@pytest.mark.parametrize(
    "head, what",
    [
        (b"%!PS-Adobe-3.0\n(canary) (w) file closefile\n", "PostScript"),
        (b"<!DOCTYPE html><html>404</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"%PDF-1.7 ", "a PDF"),
        (bytes(128) + b"DICM" + bytes(9), "a DICOM file.*Name it .dcm"),
        (b"", "an empty file"),
    ],
)
def test_another_kind_is_named(tmp_path, suffix, head, what):
    (tmp_path / f"x{suffix}").write_bytes(head)
    with pytest.raises(VolumeError, match=f"x{suffix}: must .*found {what}"):
        load(tmp_path / f"x{suffix}")


PAIRS = [
    (b"<!doctype html><html>404</html>", "a web page. Fetch the file itself"),
    (b"\n\n <HTML>login</HTML>", "a web page. Fetch"),
    (b'\xef\xbb\xbf<?xml version="1.0"?><Error><Code>AccessDenied', "an XML document.*Fetch"),
    (b"/annex/objects/SHA256E-s123--abc.nii.gz\n", "a pointer of git-annex.*git annex get"),
    (b"../../.git/annex/objects/Xq/0k/MD5E-s1--d/MD5E-s1--d.nii.gz", "a pointer of git-annex"),
    (b"RIFF\x1a\0\0\0WEBPVP8 " + bytes(20), "a WebP image. Save it as PNG"),
    (b"\0\0\0\x18ftypheic" + bytes(20), "a HEIC.*Save it as PNG"),
    (b"GIF89a" + bytes(20), "a GIF image. Save it as PNG"),
    (bz2.compress(b"1" * 400), "a bzip2 stream. Unpack it"),
    (lzma.compress(b"1" * 400), "an xz stream. Unpack it"),
]


@pytest.mark.parametrize("name", ["x.nii.gz", "x.jpg", "x.dcm", "x.mha"])
@pytest.mark.parametrize("head, what", PAIRS)
def test_what_came_in_place_of_a_file_is_named_with_what_to_do(tmp_path, name, head, what):
    (tmp_path / name).write_bytes(head)
    with pytest.raises(VolumeError, match=f"{name}: must be .* says; found {what}") as error:
        load(tmp_path / name)
    assert "dcmconv" not in str(error.value) and "Copy it again" not in str(error.value)


@pytest.mark.parametrize("name", ["x.nii.gz", "x.dcm", "x.mha"])
def test_archives_are_to_be_unpacked(nifti, name):
    content = (nifti / "x.nii").read_bytes()
    archive, tar = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.nii", content)
    with tarfile.open(fileobj=tar, mode="w:gz") as file:
        file.add(nifti / "x.nii")
    twice = gzip.compress(gzip.compress(content))
    for packed, what in {
        archive.getvalue(): "a zip archive", tar.getvalue(): "a gzip stream of a tar archive",
        twice: "a gzip stream of a gzip stream", gzip.compress(bytes(128) + b"DICM"): "a gzip stream of a DICOM file",
    }.items():  # fmt: skip
        (nifti / name).write_bytes(packed)
        with pytest.raises(VolumeError, match=f"{name}: must .* says; found {what}. Unpack it"):
            load(nifti / name)


def test_arrays_in_a_zip_are_to_be_named(tmp_path):
    np.savez(tmp_path / "x.npz", ARRAY)
    (tmp_path / "x.npz").rename(tmp_path / "x.nii.gz")
    with pytest.raises(VolumeError, match="x.nii.gz: .*found a zip archive.*Name it .npz"):
        load(tmp_path / "x.nii.gz")


def test_other_kinds_that_are_named_as_dicom(nifti):
    for name, advice in {
        "x.nii": "a NIfTI. Name it .nii,",
        "x.nii.gz": "a gzip stream of a NIfTI. Name it .nii.gz,",
    }.items():
        (nifti / name).rename(nifti / "x.dcm")
        with pytest.raises(VolumeError, match=f"x.dcm: must be DICOM, as its name says; found {advice}"):
            load(nifti / "x.dcm")


def test_an_image_of_another_kind_of_image(tmp_path):
    Image.fromarray(ARRAY[0].astype(np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "x.png").rename(tmp_path / "x.tif")
    with pytest.raises(VolumeError, match="x.tif: .*found a PNG image. Name it .png."):
        load(tmp_path / "x.tif")


def test_no_program_sees_an_image(tmp_path, monkeypatch):
    """Neither Ghostscript nor another plug-in of Pillow, whatever the content is."""
    monkeypatch.setattr("subprocess.Popen", None)
    for head in (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"\xc5\xd0\xd3\xc6" + bytes(60),
        b"FPX" + bytes(60),
    ):
        (tmp_path / "x.png").write_bytes(head)
        with pytest.raises(VolumeError, match="x.png"):
            load(tmp_path / "x.png")


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.mha", "x.npy", "x.png", "x.dcm", "x"])
def test_a_pipe_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert stat.S_ISFIFO((tmp_path / name).stat().st_mode)
    with pytest.raises(VolumeError, match=f"{name}: must be a file or folder; found a pipe"):
        load(tmp_path / name)
    (tmp_path / "zero.nii").symlink_to("/dev/zero")
    with pytest.raises(VolumeError, match="zero.nii: must be a file"):
        load(tmp_path / "zero.nii")


def test_names(tmp_path, nifti):
    with pytest.raises(VolumeError, match=r"nii: cannot be read \(.*too long"):
        load(tmp_path / ("x" * 300 + ".nii"))
    with pytest.raises(VolumeError, match="cannot be read"):
        load("a\0b.nii")
    latin1 = nifti / os.fsdecode(b"caf\xe9.nii")
    (nifti / "x.nii").rename(latin1)
    assert load(latin1).shape == (1, 4, 5, 6)
    latin1.with_suffix(".mha").write_text("ObjectType = Image\nElementDataFile = LOCAL\n")
    with pytest.raises(VolumeError, match="must be UTF-8"):
        load(latin1.with_suffix(".mha"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_a_file_that_may_not_be_read(nifti):
    (nifti / "x.nii").chmod(0)
    with pytest.raises(VolumeError, match="Ask its owner"):
        load(nifti / "x.nii")
