"""Write beside, then rename: a reader sees the old file or the new one, never half of one."""

import errno
import glob
import hashlib
import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from medgenesis.errors import OutputError

_LONGEST = 150  # bytes of a name that the name beside repeats; file systems take 255
_REMEDIES = {
    errno.ENOSPC: "Free disk space, or choose another folder",
    errno.EDQUOT: "Your quota is used up: free disk space, or choose another folder",
    errno.EFBIG: "The file system takes no file of that size: choose a folder on another",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.EIO: "The disk or network drive fails: choose another folder, and have it checked",
}


@contextmanager
def replacing(path: str | Path) -> Generator[Path, None, None]:
    """Yield a path beside `path` to write to; renamed to `path` when the block ends well, removed when it does not.

    The name ends as `path` does, because many writers choose their format by the suffix. Folders are made. What a
    killed process of this machine has left beside `path` is removed.

    Raises:
        OutputError: the file cannot be written (a full disk, for example), or `path` is a folder, a pipe or a device.
    """
    path = Path(path)
    make_folder(path.parent)
    if os.path.exists(path) and not path.is_file():  # noqa: PTH110 - pathlib raises at a name that is too long
        raise OutputError(
            f"{path}: must be a file, which is written beside and then renamed; found {_kind(path)}. Choose another."
        )
    host, end = socket.gethostname(), _end(path.name)
    _sweep(path.parent, host, end)
    beside = path.with_name(f".{host}-{os.getpid()}.{threading.get_native_id()}-{end}")
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        if isinstance(error, OutputError) or error.filename not in (None, str(beside)):
            raise  # of another file, which the block reads for example
        raise cannot_be_written(path, error, "; an earlier file there is as it was") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def make_folder(folder: str | Path) -> None:
    """Make a folder and those above it, if absent.

    Raises:
        OutputError: it cannot be made, or something else is there.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        taken = next((one for one in (folder, *folder.parents) if one.exists()), folder)
        raise OutputError(
            f"{taken}: must be a folder; found {_kind(taken)} of that name. Choose another folder."
        ) from error
    except OSError as error:
        raise cannot_be_written(folder, error) from error


def cannot_be_written(path: str | Path, error: OSError, also: str = "") -> OutputError:
    """The error that names the file or folder, the true reason and what to do about it."""
    reason = error.strerror or str(error) or type(error).__name__
    remedy = _REMEDIES.get(error.errno or 0, "Choose another folder, or ask for the right to write there")
    return OutputError(f"{path}: cannot be written ({reason}){also}. {remedy}.")


def _kind(path: Path) -> str:
    kinds = {"a folder": path.is_dir, "a named pipe": path.is_fifo, "a file": path.is_file, "a socket": path.is_socket}
    return next((kind for kind, holds in kinds.items() if holds()), "a device")


def _end(name: str) -> str:
    """The name, or of a long one its end after a digest, so that what is before it leaves it short enough."""
    raw = os.fsencode(name)
    return name if len(raw) <= _LONGEST else f"{hashlib.sha256(raw).hexdigest()[:12]}{name[-20:]}"


def _sweep(folder: Path, host: str, end: str) -> None:
    """Remove what killed processes of this machine have left of a file."""
    for left in folder.glob(f".{glob.escape(host)}-*-{glob.escape(end)}"):
        pid = left.name.removeprefix(f".{host}-").removesuffix(f"-{end}").partition(".")[0]
        if pid.isdecimal() and not _running(int(pid)):  # else of a machine whose name begins alike
            with suppress(OSError):  # what cannot be swept must not stop the writing
                left.unlink()


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all; a name's bytes that are not UTF-8 stay what they are."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="surrogateescape")
