"""What a file is by its first bytes, asked before a reader is chosen by its name."""

import gzip
import stat
import zipfile
from pathlib import Path
from typing import NamedTuple

from medgenesis.errors import VolumeError

_HEAD = 1024
_UNPACK, _FETCH, _PNG = "Unpack it", "Fetch the file itself", "Save it as PNG"


class Kind(NamedTuple):
    """What a file is by its first bytes."""

    what: str = ""
    """In words; "" where they do not tell."""
    suffixes: tuple[str, ...] = ()
    """Those that say so, of files that are read."""
    remedy: str = ""
    """What to do with it, where another name is not enough."""

    def advice(self) -> str:
        """What to do with a file that has another name."""
        if self.remedy:
            return self.remedy
        return (
            f"Name it {' or '.join(self.suffixes)}" if self.suffixes else "Find the file that was meant, or convert it"
        )


_NIFTI = Kind("a NIfTI", (".nii",))
_GZIP = Kind("a gzip stream", (".gz",), _UNPACK)
_ZIP = Kind("a zip archive", (".npz",), _UNPACK)
_PLACES = (  # where the mark stands, the mark
    (0, b"\x1f\x8b", _GZIP),
    (0, b"PK\x03\x04", _ZIP),
    (0, b"BZh", Kind("a bzip2 stream", (), _UNPACK)),
    (0, b"\xfd7zXZ\0", Kind("an xz stream", (), _UNPACK)),
    (0, b"7z\xbc\xaf", Kind("a 7z archive", (), _UNPACK)),
    (0, b"(\xb5/\xfd", Kind("a Zstandard stream", (), _UNPACK)),
    (257, b"ustar", Kind("a tar archive", (), _UNPACK)),
    (0, b"\x89PNG", Kind("a PNG image", (".png",))),
    (0, b"\xff\xd8\xff", Kind("a JPEG image", (".jpg", ".jpeg"))),
    (0, b"II*\0", Kind("a TIFF image", (".tif", ".tiff"))),
    (0, b"MM\0*", Kind("a TIFF image", (".tif", ".tiff"))),
    (0, b"BM", Kind("a BMP image", (".bmp",))),
    (0, b"GIF8", Kind("a GIF image", (), _PNG)),
    (8, b"WEBP", Kind("a WebP image", (), _PNG)),
    (4, b"ftyp", Kind("a HEIC or AVIF image, or a video", (), _PNG)),
    (4, b"jP  ", Kind("a JPEG 2000 image", (), _PNG)),
    (0, b"\x93NUMPY", Kind("a NumPy array", (".npy",))),
    (0, b"NRRD000", Kind("a NRRD", (".nrrd", ".nhdr"))),
    (0, b"\x89HDF", Kind("an HDF5 file")),
)
_TEXTS = (  # how a text begins, in small letters, after blanks
    (b"objecttype =", Kind("a MetaImage", (".mha", ".mhd"))),
    (b"ndims =", Kind("a MetaImage", (".mha", ".mhd"))),
    (b"%!ps", Kind("PostScript, a program")),
    (b"%pdf", Kind("a PDF document")),
    (b"<!doctype", Kind("a web page", (), _FETCH)),
    (b"<html", Kind("a web page", (), _FETCH)),
    (b"<?xml", Kind("an XML document, as servers answer that refuse a file", (), _FETCH)),
    (b"version https://git-lfs", Kind("a pointer of Git LFS in place of the file", (), f"{_FETCH}: git lfs pull")),
)
_ANNEX = Kind("a pointer of git-annex in place of the file", (), f"{_FETCH}: git annex get, or datalad get")


def check_file(path: Path) -> None:
    """Refuse what is no file or folder: absent, a named pipe (which would wait for ever), a device.

    Raises:
        VolumeError: with the path.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise VolumeError(
            f"{path}: must be a file or folder; found none. Check the datalist, or the disk it is on."
        ) from error
    except (OSError, ValueError) as error:  # a name that is too long, or holds what no name can
        raise VolumeError(f"{path}: cannot be read ({error}). Check the datalist, or the disk it is on.") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise VolumeError(
            f"{path}: must be a file or folder; found a pipe, socket or device. Write its content to a file."
        )


def check_kind(path: Path) -> None:
    """Refuse a file that is another kind than its suffix says, where its first bytes tell.

    Raises:
        VolumeError: what it is, and how to name it.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise VolumeError(f"{path}: must hold an image; found an empty file. Copy it again.")
    kind = kind_of_file(path, head)
    name = path.name.lower()
    if not kind.what or name.endswith(kind.suffixes or ("/",)):
        return
    what = kind.what
    if name.endswith(".gz") and not kind.remedy:
        what += ", not compressed though its name ends in .gz"
    raise VolumeError(f"{path}: must be what its suffix says; found {what}. {kind.advice()}.")


def kind_of_file(path: Path, head: bytes) -> Kind:
    """As `kind_of`, and of a gzip stream and a zip archive by what they hold.

    Args:
        path: of the file.
        head: its first bytes, 348 or more where it has as many.
    """
    kind = kind_of(head)
    if kind is _GZIP:
        inside = kind_of(_unpacked_head(path))
        if inside is _NIFTI or not inside.what:
            return Kind("a gzip stream of a NIfTI", (".nii.gz",)) if inside is _NIFTI else kind
        return Kind(f"a gzip stream of {inside.what}", (), _UNPACK)
    if kind is _ZIP and _holds_arrays(path):
        return Kind(kind.what, kind.suffixes)
    return kind


def kind_of(head: bytes) -> Kind:
    """What first bytes are of."""
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        return _NIFTI
    if head[128:132] == b"DICM":
        return Kind("a DICOM file", (".dcm",))
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    found = [kind for place, mark, kind in _PLACES if head.startswith(mark, place)]
    found += [kind for mark, kind in _TEXTS if text.startswith(mark)]
    if b"annex/objects/" in text and b"\0" not in text:
        found.append(_ANNEX)
    return found[0] if found else Kind()


def _unpacked_head(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(_HEAD)
    except (OSError, EOFError, ValueError):
        return b""


def _holds_arrays(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)
