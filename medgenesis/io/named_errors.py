"""Errors of the libraries that read files, as one of this domain that names the file."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from medgenesis.errors import VolumeError


@contextmanager
def named_errors(path: str | Path) -> Generator[None, None, None]:
    """Errors of the libraries as VolumeErrors that name the file."""
    try:
        yield
    except VolumeError:
        raise
    except PermissionError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror}). Ask its owner for the right to.") from error
    except MemoryError as error:
        raise VolumeError(f"{path}: cannot be read, memory is short. Free memory, or leave the file out.") from error
    except Exception as error:  # every library has its own errors for a broken file
        reason = " ".join(str(error).split())[-200:] or type(error).__name__
        raise VolumeError(f"{path}: cannot be read, truncated or damaged ({reason}). Copy it again.") from error
