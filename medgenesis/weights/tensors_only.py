"""The tensors and arrays of a pickle that holds other objects too, whose code never runs.

A pickle names functions and classes that its reader is to call. Here only those are called that build a tensor, an
array or a plain container. Every other name becomes an inert stand-in of our own, which keeps what it was given, so
that the weights inside are found; no foreign module is imported.
"""

import importlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import torch

from medgenesis.errors import CheckpointError
from medgenesis.storage.not_a_checkpoint import check_may_be_checkpoint

_NUMPY_NAMES = {"_reconstruct", "scalar", "_frombuffer"}
_ALLOWED = {
    "collections": {"OrderedDict"},
    "torch._utils": {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"},
    "torch": {"Size", "device"},
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": _NUMPY_NAMES,
    "numpy._core.multiarray": _NUMPY_NAMES,
    "numpy.core.numeric": _NUMPY_NAMES,
    "numpy._core.numeric": _NUMPY_NAMES,
    "_codecs": {"encode"},  # bytes of an array in pickles of protocol 2
    "builtins": {"bytearray", "complex", "frozenset", "set"},
    "argparse": {"Namespace"},
}


class StandIn:
    """In the place of an object that is not built: what it was given.

    Attributes:
        name: dotted name of the class or function.
        args: the arguments that it was to be built or called with.
        state: what it was to hold, or None.
        items: what was to be put into it.
    """

    name = ""

    def __new__(cls, *args: Any, **settings: Any) -> "StandIn":
        made = super().__new__(cls)
        made.args, made.settings, made.state, made.items = args, settings, None, []  # type: ignore[attr-defined]
        return made

    def __init__(self, *args: Any, **settings: Any) -> None:
        """Nothing: all is kept by `__new__`, the one method that pickles may go without."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def append(self, value: Any) -> None:
        """Keep one of a list."""
        self.items.append(value)

    def parts(self) -> list[Any]:
        """All that it holds, in the order of its arguments, its state, its items."""
        return [*self.args, *self.settings.values(), self.state, *self.items]


class Unpickler(pickle.Unpickler):
    """Builds tensors, arrays and plain containers, and stand-ins for all else."""

    def find_class(self, module: str, name: str) -> Any:
        """The function or class of an allowed name, or a class of stand-ins."""
        module = {"__builtin__": "builtins"}.get(module, module)  # of protocol 2
        if name in _ALLOWED.get(module, ()):
            return getattr(importlib.import_module(module), name)
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        return type(name.rpartition(".")[2], (StandIn,), {"name": f"{module}.{name}"})


def load(file: Any, **settings: Any) -> Any:
    """As `pickle.load`, by the unpickler above: what `torch.load` asks of a `pickle_module`."""
    return Unpickler(file, **settings).load()


def read_tensors_only(path: str | os.PathLike) -> Any:
    """The content of a checkpoint of torch, or of a plain pickle, with stand-ins for foreign objects.

    Notes:
        No code of the file runs. What remains: a hostile file can waste memory and time, and what a stand-in would have
        meant (an object that computes its weights) is lost.

    Raises:
        CheckpointError: the file is missing or is neither.
    """
    path = Path(path)
    try:
        check_may_be_checkpoint(path)
        try:
            return torch.load(path, map_location="cpu", pickle_module=sys.modules[__name__], weights_only=False)
        except Exception:  # a plain pickle, which torch has not written
            with path.open("rb") as file:
                return load(file)
    except CheckpointError:
        raise
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read ({error}). Ask its owner for the right to.") from error
    except Exception as error:  # bytes that are no pickle can end an unpickler in any way
        raise CheckpointError(
            f"{path}: must be a pickle of tensors or arrays; found {path.stat().st_size} bytes that cannot be read as "
            f"one ({type(error).__name__}). Copy or download it anew."
        ) from error
