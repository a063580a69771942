"""What stands in the place of a checkpoint, by its first bytes: a web page, a pointer of git, another kind of file."""

import zipfile
from pathlib import Path

from medgenesis.errors import CheckpointError
from medgenesis.storage.zip_files import check_zip

_HEAD = 1024
_DOWNLOAD = "Download it anew: the address of a file itself, not of the page that shows it."
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a pointer of git-lfs, without the file that it stands for",
        "Fetch the file: git lfs pull.",
    ),
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes", "Read it by `medgenesis weights import`."),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (b"BZh", "a bzip2 archive", "Unpack it first."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it first."),
    (b"Rar!", "a RAR archive", "Unpack it first."),
    (b"\x93NUMPY", "a NumPy array", "Give the network's state dict: torch.save(network.state_dict(), path)."),
)
_SAFETENSORS = "Save it for PyTorch: torch.save(safetensors.torch.load_file(path), 'weights.pt')."


def check_may_be_checkpoint(path: Path) -> None:
    """Look at a file before an unpickler does.

    Raises:
        CheckpointError: it is missing, a damaged archive, unpacks to too much, or is plainly something else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: must be a checkpoint; found no such file. Check the path, or train first.")
    check_zip(path, CheckpointError)
    instead = not_a_checkpoint(path)
    if instead is not None:
        what, remedy = instead
        raise CheckpointError(f"{path}: must be a checkpoint; found {what}. {remedy}")


def not_a_checkpoint(path: Path) -> tuple[str, str] | None:
    """What a file is that torch cannot have written, and what to do; None: it may be a checkpoint."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "an empty file", "Copy or download it anew."
    for begin, what, remedy in _SIGNATURES:
        if head.startswith(begin):
            return what, remedy
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page (HTML): a download that ended at a login, a confirmation or an error", _DOWNLOAD
    if text.startswith((b"<?xml", b"<error")):
        return "an XML document, an answer of a server perhaps", _DOWNLOAD
    if head[8:9] == b"{" and b'"dtype"' in head:
        return "a safetensors file", _SAFETENSORS
    if text.startswith((b"{", b"[")):
        return "JSON text", _DOWNLOAD
    return _zip_of_another_kind(path) if head.startswith(b"PK\x03\x04") else None


def _zip_of_another_kind(path: Path) -> tuple[str, str] | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None  # truncated: its reader says so
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends:
        return (
            "a TorchScript archive, which holds code",
            "Load it where you trust it, and save its weights alone: "
            "torch.save(torch.jit.load(path).state_dict(), 'weights.pt').",
        )
    if "data.pkl" not in ends:
        first = ", ".join(names[:3])
        return f"a zip archive of other files ({first})", "Unpack it first, and give the checkpoint in it."
    return None
