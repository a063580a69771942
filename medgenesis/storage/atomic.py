"""Write beside, then rename: a reader sees the old file or the new one, never half of one."""

import glob
import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Generator[Path, None, None]:
    """Yield a path beside `path` to write to; renamed to `path` when the block ends well, removed when it does not.

    The name ends as `path` does, because many writers choose their format by the suffix. Folders are made. What a
    killed process of this machine has left beside `path` is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    host = socket.gethostname()
    for left in path.parent.glob(f".{glob.escape(host)}-*-{glob.escape(path.name)}"):
        pid = left.name.removeprefix(f".{host}-").removesuffix(f"-{path.name}").partition(".")[0]
        if pid.isdecimal() and not _running(int(pid)):  # else of a machine whose name begins alike
            with suppress(OSError):  # what cannot be swept must not stop the writing
                left.unlink()
    beside = path.with_name(f".{host}-{os.getpid()}.{threading.get_native_id()}-{path.name}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
