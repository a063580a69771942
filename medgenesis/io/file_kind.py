"""What a file is by its first bytes, asked before a reader is chosen by its name."""

import gzip
import stat
from pathlib import Path

from medgenesis.errors import VolumeError

_HEAD = 1024
# first bytes, what it is, suffixes that say so
_MARKS = (
    (b"\x1f\x8b", "a gzip stream", (".gz",)),
    (b"\x89PNG", "a PNG image", (".png",)),
    (b"\xff\xd8\xff", "a JPEG image", (".jpg", ".jpeg")),
    (b"II*\0", "a TIFF image", (".tif", ".tiff")),
    (b"MM\0*", "a TIFF image", (".tif", ".tiff")),
    (b"BM", "a BMP image", (".bmp",)),
    (b"\x93NUMPY", "a NumPy array", (".npy",)),
    (b"PK\x03\x04", "a zip archive", (".npz",)),
    (b"NRRD000", "a NRRD", (".nrrd", ".nhdr")),
    (b"ObjectType =", "a MetaImage", (".mha", ".mhd")),
    (b"NDims =", "a MetaImage", (".mha", ".mhd")),
    (b"GIF8", "a GIF image", ()),
    (b"%!PS", "PostScript, a program", ()),
    (b"%PDF", "a PDF document", ()),
    (b"<!DOCTYPE", "a web page", ()),
    (b"<html", "a web page", ()),
    (b"version https://git-lfs", "a pointer of Git LFS in place of the file", ()),
    (b"\x89HDF", "an HDF5 file", ()),
)


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
    what, suffixes = kind_of(head)
    if not what or path.name.lower().endswith(suffixes or ("/",)):
        return
    if suffixes == (".gz",):
        inside = kind_of(_unpacked_head(path))
        what, suffixes = (
            (f"{what} of {inside[0]}", tuple(f"{end}.gz" for end in inside[1])) if inside[0] else (what, ())
        )
    if path.name.lower().endswith(".gz"):
        what += ", not compressed though its name ends in .gz"
    remedy = f"Name it {' or '.join(suffixes)}" if suffixes else "Find the file that was meant, or convert it"
    raise VolumeError(f"{path}: must be what its suffix says; found {what}. {remedy}.")


def kind_of(head: bytes) -> tuple[str, tuple[str, ...]]:
    """What first bytes are of, in words, and the suffixes that say so; ("", ()) where they do not tell."""
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        return "a NIfTI", (".nii",)
    if head[128:132] == b"DICM":
        return "a DICOM file", (".dcm",)
    return next(((what, suffixes) for mark, what, suffixes in _MARKS if head.startswith(mark)), ("", ()))


def _unpacked_head(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(_HEAD)
    except (OSError, EOFError, ValueError):
        return b""
