"""Checkpoint files: written beside and then renamed, read without running code that they may hold."""

import argparse
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from warnings import catch_warnings, simplefilter

import numpy as np
import torch

from medgenesis.errors import CheckpointError, OutputError
from medgenesis.storage.atomic import replacing
from medgenesis.storage.not_a_checkpoint import check_may_be_checkpoint


def _scalar_of(module: str) -> Callable[[np.dtype, bytes], float | int]:
    """What builds a pickled NumPy scalar in place of NumPy's own function: a plain number comes out."""

    def scalar(dtype: np.dtype, data: bytes) -> float | int:
        return np.frombuffer(data, dtype).item()

    scalar.__module__, scalar.__qualname__ = module, "scalar"  # torch compares these names with those in the file
    return scalar


# what published checkpoints hold beside weights: their best loss as a NumPy scalar, curves as arrays, the options of
# their command line. NumPy 1 and 2 name its module otherwise
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_PICKLE = b"\x80"  # the first byte of a pickle
_array_of = np.empty(0).__reduce__()[0]
_KNOWN: list[Any] = [
    *(_scalar_of(module) for module in _NUMPY),
    *((_array_of, f"{module}._reconstruct") for module in _NUMPY),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.bool_, np.uint8, np.float32, np.float64, np.int32, np.int64)),
    argparse.Namespace,
]


def save_checkpoint(obj: Any, path: str | os.PathLike, durable: bool = True) -> None:
    """Write ``obj`` to ``path`` such that the path holds the old file or the whole new one, never a part.

    The file is written beside and then renamed; folders are made as needed.

    Args:
        obj: tensors, numbers, strings, and lists and dictionaries of them, so that ``read_checkpoint`` takes it back.
        path: the file.
        durable: wait until the disk has it; else it may be empty or damaged after a power cut, which readers find and
            only what can be made again may be.

    Raises:
        CheckpointError: the file cannot be written, with the true reason: a full disk, a folder without the right to,
            or an object that cannot be saved.
    """
    try:
        with replacing(path) as beside, beside.open("wb") as raw:
            file = _Remembering(raw)
            try:
                torch.save(obj, file)
            except RuntimeError as error:  # torch's writer says of a failed write that a position is unexpected
                raise file.failed or error from error
            raw.flush()
            if durable:
                os.fsync(raw.fileno())  # else a power cut after the renaming could leave an empty file
    except OutputError as error:
        raise CheckpointError(str(error)) from error
    except (RuntimeError, TypeError, AttributeError, pickle.PicklingError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise CheckpointError(
            f"{path}: cannot be written ({reason}); an earlier file there is as it was. The disk is not the cause: "
            "look at what is to be saved, or at the device that holds it."
        ) from error


class _Remembering:
    """A file that remembers why writing failed."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.failed = file, None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.failed: OSError | None = error
            raise

    def flush(self) -> None:
        self.file.flush()


def read_checkpoint(path: str | os.PathLike, map_location: str | torch.device = "cpu") -> Any:
    """What ``save_checkpoint`` (or ``torch.save``) wrote, read with ``weights_only=True``.

    NumPy scalars become plain numbers. The checksums in the file are compared, which `torch.load` leaves out.

    Raises:
        CheckpointError: the file is missing, truncated, damaged, no checkpoint (what it is instead is said where its
            first bytes tell), unpacks to too much (`refuse_bomb`), or holds objects other than tensors, numbers,
            strings, arrays, lists, dictionaries and the options of a command line.
    """
    path = Path(path)
    try:
        check_may_be_checkpoint(path)
        # only what is not allowed already: on leaving, torch would take away what the user has allowed
        allowed = torch.serialization.get_safe_globals()
        with torch.serialization.safe_globals([known for known in _KNOWN if known not in allowed]), catch_warnings():
            simplefilter(
                "ignore", UserWarning
            )  # of torch, about protocols of pickles: the file is read, or refused here
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))  # torch names the class that it refused to build
        if foreign:
            raise CheckpointError(
                f"{path}: must hold tensors and plain values alone, as reading others could run code from the file; "
                f"found {foreign[1]}, {_what_is(foreign[1])}. Save its weights alone, where you trust it: "
                "torch.save(network.state_dict(), path); or read its tensors and nothing else: `medgenesis weights` "
                "with --tensors-only."
            ) from error
        raise _unreadable(path) from error
    except CheckpointError:
        raise
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}). Ask its owner for the right to.") from error
    except Exception as error:  # bytes that are no checkpoint can end an unpickler in any way
        raise _unreadable(path) from error


def _what_is(name: str) -> str:
    """What a name in a pickle stands for: classes are written with a capital."""
    last = name.rpartition(".")[2]
    return "a class: a whole pickled network perhaps" if last[:1].isupper() else "a function that reading would call"


def _unreadable(path: Path) -> CheckpointError:
    # torch's own words stay in the chained error: they speak of its internals, and advise weights_only=False
    with path.open("rb") as file:
        of_pickle = file.read(1) == _PICKLE
    arrays = " Of a plain pickle of arrays (BYOL's) read these: `medgenesis weights` with --tensors-only."
    return CheckpointError(
        f"{path}: must be a checkpoint; found {path.stat().st_size} bytes that cannot be read as one, truncated, "
        f"damaged or of another kind. Copy or download it anew.{arrays if of_pickle else ''}"
    )
