"""The folder of a run, before anything is computed: can it be written, and does another run write there?"""

import atexit
import logging
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import torch.distributed

from medgenesis.errors import OutputError
from medgenesis.storage.atomic import cannot_be_written, make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

LOCK = ".running"

logger = logging.getLogger(__name__)
_held: dict[Path, IO[str]] = {}  # by this process, until it ends
_holder = os.getpid()  # a process that is forked from it holds nothing


class FolderInUseError(OutputError):
    """Another process holds a folder."""

    owner = "another process"


def check_writable(*folders: str | Path) -> None:
    """Find out now, not after hours, whether folders can be written; they are made.

    Raises:
        OutputError: one cannot, with the reason.
    """
    for folder in map(Path, folders):
        make_folder(folder)
        probe = folder / f".writable-{socket.gethostname()[:60]}-{os.getpid()}"
        try:
            probe.write_bytes(b"written")  # an empty file fits on a full disk
        except OSError as error:
            raise cannot_be_written(folder, error) from error
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)


def hold_folder(folder: str | Path) -> None:
    """Hold the folder of a run until this process ends, however it ends; again by the same process changes nothing.

    Two runs in one folder would write each other's checkpoints. Of the processes of one training the first holds it
    for all. The system keeps the lock (of the file `.running`), so none is left behind by a kill; the
    file is removed at the end. Where the process goes on with other work, see `held`.

    Raises:
        FolderInUseError: another process holds it.
        OutputError: it cannot be written.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized() and torch.distributed.get_rank() > 0:
        return
    check_writable(folder)
    path = _lock_of(folder)
    if path in _held and _is_there(path, _held[path]):
        return
    file = _open(path)
    try:
        _lock(file)
        while not _is_there(path, file):  # the run that held it has ended, and taken the file away, in this moment
            file.close()
            file = _open(path)
            _lock(file)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or FolderInUseError.owner
        file.close()
        error = FolderInUseError(
            f"{folder}: must be written by one run at a time; found {owner} at work in it. Wait for it or stop it, or "
            "choose another output_dir."
        )
        error.owner = owner
        raise error from None
    except OutputError:
        raise
    except OSError as error:  # a network drive without locks
        logger.warning("%s: cannot be locked (%s); start no second run in it", folder, error)
    else:
        file.truncate(0)
        file.write(f"process {os.getpid()} of {socket.gethostname()}")
        file.flush()
    _held[path] = file


def release_folder(folder: str | Path) -> None:
    """Let another process hold the folder, while this one goes on with others."""
    _release(_lock_of(folder))


@contextmanager
def held(folder: str | Path) -> Generator[None, None, None]:
    """Hold the folder of a run within the block, and let go of it and of folders in it that trainings have held since;
    what this process held before stays held.

    Raises:
        OutputError: see `hold_folder`.
    """
    before, root = set(_held), _lock_of(folder).parent
    hold_folder(folder)
    try:
        yield
    finally:
        for path in set(_held) - before:
            if path.is_relative_to(root):
                _release(path)


@atexit.register
def _release_all() -> None:
    for path in list(_held):
        _release(path)


def _release(path: Path) -> None:
    """Remove the file while it is held, so that no other's is taken; a kill leaves it, without the lock."""
    file = _held.pop(path, None)
    if file is None:
        return
    if os.getpid() == _holder and _is_there(path, file):
        with suppress(OSError):  # Windows removes no open file
            path.unlink()
    file.close()


def _lock_of(folder: str | Path) -> Path:
    """By its real place: a file that is opened again under another name loses its lock when that is closed."""
    return Path(os.path.realpath(folder)) / LOCK


def _open(path: Path) -> IO[str]:
    try:
        return path.open("a+", encoding="utf-8")
    except OSError as error:  # of another user's run
        raise cannot_be_written(path, error) from error


def _lock(file: IO[str]) -> None:
    """Take the lock of a file, or raise BlockingIOError; held by the process, so not by the workers that it forks."""
    if fcntl is not None:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except PermissionError as error:  # what some systems say in place of EAGAIN
            raise BlockingIOError from error
        return
    file.seek(1 << 30)  # beyond the text: locked bytes cannot be read
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        raise BlockingIOError from error
    file.seek(0)


def _is_there(path: Path, file: IO[str]) -> bool:
    """Whether the file that is held is still the one of that name: a folder may have been removed and made anew."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False
