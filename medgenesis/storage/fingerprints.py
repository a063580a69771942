"""Fingerprints: short texts that tell one input of a computation from another, and name nobody."""

import copyreg
import hashlib
import io
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

_DIGITS = 32
_FILE_KEYS = ("image", "label")
_CHUNK = 1 << 20  # bytes read at a time
_LONGEST = 100  # characters of a value in a message
_PICKLE = 5  # the highest protocol of every Python that is supported: another one would be another text


def fingerprint(value: Any) -> str:
    """32 hexadecimal digits that are the same for equal values, in any process, and otherwise differ.

    Args:
        value: None, truth values, numbers, strings, bytes, paths (as their strings), arrays, tensors, modules (their
            weights and buffers), dataclasses, and lists, sets and mappings of them. Mappings are equal in any order;
            lists and tuples of the same items are equal; 1, 1.0 and True are not.

    Raises:
        TypeError: a value of another type, within others too.
    """
    return _digest(_tokens(value))


def file_fingerprint(path: str | os.PathLike) -> str:
    """Of the content of a file, whatever its name."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()[:_DIGITS]


def file_stamps(path: str | os.PathLike) -> list[tuple[str, int, int]]:
    """Name, size in bytes and time of change in nanoseconds of a file, or of each file in a folder.

    What differs where a file has changed, without reading it. Absent: an empty list.
    """
    path = Path(path)
    if not path.exists():
        return []
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def record_fingerprint(record: Mapping[str, Any]) -> str:
    """Of a record, and of the size and time of change of every file (or folder of files) that it names.

    Values of `image` and `label` are paths. Under another key only an absolute path is one, because a word, a patient's
    key for example, may by chance be the name of something in the current folder.
    """
    stamps = []
    for key, value in record.items():
        for name in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(name, (str, os.PathLike)) and (key in _FILE_KEYS or Path(name).is_absolute()):
                stamps.append(file_stamps(name))
    return fingerprint([record, sorted(stamps)])


def transform_fingerprint(*transforms: Callable) -> str:
    """Of the steps of a preprocessing and their parameters, in any process.

    Raises:
        ValueError: a step that cannot be pickled.
    """
    steps = [step for transform in transforms for step in _steps(transform)]
    try:
        return _pickle_digest(steps)
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError) as error:  # the last of sparse tensors
        raise ValueError(
            f"preprocessing: must be transforms that can be pickled, to be told from others; found {error}. Use "
            "`medgenesis.data.preprocessing` and no lambda."
        ) from error


def object_fingerprint(value: Any) -> str:
    """Of an object by its class and all that it holds, in any process: an inferer, for example.

    What `fingerprint` takes counts as there, functions and classes by their names, and all else by what `pickle` would
    keep of it; not by the pickle itself, which differs from process to process where there are tensors in it.

    Raises:
        TypeError: it holds something that cannot be told from others: a lambda, an open file.
    """
    return fingerprint(_taken_apart(value))


def changes(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """The settings that differ, each with its two values in words; empty where all agree.

    A setting that one of the two lacks differs, even from None. Mappings within are compared by name: the setting `b`
    of `a` is `a#b`. In place of a long value, a list of files for example, its type and fingerprint are said.
    """
    differing: dict[str, str] = {}
    for name in dict.fromkeys((*earlier, *now)):
        if name not in earlier:
            differing[name] = f"not set, now it is {_said(now[name])}"
        elif name not in now:
            differing[name] = f"{_said(earlier[name])}, now it is not set"
        elif isinstance(earlier[name], Mapping) and isinstance(now[name], Mapping):
            differing |= {f"{name}#{inner}": said for inner, said in changes(earlier[name], now[name]).items()}
        elif earlier[name] != now[name]:
            differing[name] = f"{_said(earlier[name])}, now it is {_said(now[name])}"
    return differing


def _said(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{type(value).__name__} {fingerprint(value)[:8]}…"


def _pickle_digest(value: Any) -> str:
    with io.BytesIO() as file:
        _AlikePickler(file, protocol=_PICKLE).dump(value)
        return hashlib.sha256(file.getbuffer()).hexdigest()[:_DIGITS]


class _AlikePickler(pickle.Pickler):
    """Writes what is equal alike in every process, also what pickle does not: tensors, and sets, by their order."""

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return type(value), fingerprint(value), vars(value)
        if isinstance(value, (set, frozenset)):
            return type(value), sorted(map(_pickle_digest, value))
        return None  # as pickle does


def _steps(transform: Callable) -> Iterator[Callable]:
    """The single steps: a `Compose` itself has a random state, which is never the same."""
    from monai.transforms import Compose  # here, for it takes seconds that no reader of files has to wait

    if not isinstance(transform, Compose):
        yield transform
        return
    for step in transform.transforms:
        yield from _steps(step)


def _taken_apart(value: Any) -> Any:
    """A value that `fingerprint` takes."""
    if isinstance(value, Mapping):
        return {name: _taken_apart(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_taken_apart(item) for item in value]
    owner = getattr(value, "__self__", None)
    if isinstance(value, BuiltinFunctionType) and not (owner is None or isinstance(owner, ModuleType)):
        return [_taken_apart(owner), value.__name__]
    if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        if "<" in value.__qualname__ and not isinstance(value, type):
            raise TypeError(
                f"value: a function in it must have a name in a module, to be told from others; found "
                f"{value.__qualname__}. Define it at the top of a module."
            )
        return f"{value.__module__}.{value.__qualname__}"
    try:
        return fingerprint(value)
    except TypeError:
        reduce = copyreg.dispatch_table.get(type(value))
    try:
        parts = reduce(value) if reduce else value.__reduce_ex__(_PICKLE)
    except TypeError as error:
        raise TypeError(
            f"value: what is in it must be kept by pickle, to be told from others; found a {type(value).__name__} "
            f"({error}). Give its settings instead."
        ) from error
    if isinstance(parts, str):  # the name of something global
        return f"{type(value).__module__}.{parts}"
    return [_taken_apart(list(part) if isinstance(part, Iterator) else part) for part in (type(value), *parts)]


def _digest(tokens: Iterator[bytes | np.ndarray]) -> str:
    digest = hashlib.sha256()
    for token in tokens:
        digest.update(len(token).to_bytes(8, "little"))  # or "ab", "c" would be "a", "bc"
        digest.update(token)
    return digest.hexdigest()[:_DIGITS]


def _tokens(value: Any) -> Iterator[bytes | np.ndarray]:
    """What a value is, as bytes from which it could be rebuilt: its kind, how many parts, and those."""
    if isinstance(value, (np.ndarray, torch.Tensor)):
        yield from _array(value)
    elif isinstance(value, nn.Module):
        yield from _named("module", value.state_dict())
    elif is_dataclass(value) and not isinstance(value, type):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        yield from _named(kind, {field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, Mapping):
        yield from _named("mapping", value)
    elif isinstance(value, Set):
        yield from _listed("set", sorted(fingerprint(item) for item in value))
    elif isinstance(value, (list, tuple, range)):
        yield from _listed("list", value)
    else:
        yield from _single(value)


def _single(value: Any) -> Iterator[bytes]:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bytes):
        yield from (b"bytes", value)
    elif isinstance(value, (str, os.PathLike)):
        yield from (b"text", os.fspath(value).encode("utf-8", "surrogateescape"))
    elif value is None or isinstance(value, (bool, int)):
        yield from (type(value).__name__.encode(), repr(value).encode())
    elif isinstance(value, (float, complex)):
        yield from (type(value).__name__.encode(), repr(value).encode())
    else:
        raise TypeError(
            f"value: must be made of numbers, strings, paths, arrays, tensors, modules, dataclasses, and lists and "
            f"mappings of them, to be told from others; found a {type(value).__name__}. Give its settings instead."
        )


def _listed(kind: str, items: Any) -> Iterator[bytes | np.ndarray]:
    yield from (kind.encode(), str(len(items)).encode())
    for item in items:
        yield from _tokens(item)


def _named(kind: str, items: Mapping) -> Iterator[bytes | np.ndarray]:
    """In the order of the names' fingerprints, which unlike names of several types can be sorted."""
    yield from (kind.encode(), str(len(items)).encode())
    for name in sorted(items, key=fingerprint):
        yield from _tokens(name)
        yield from _tokens(items[name])


def _array(array: np.ndarray | torch.Tensor) -> Iterator[bytes | np.ndarray]:
    """Kind, type, shape and values: of what is contiguous in memory a view, for features of all volumes are large."""
    if isinstance(array, torch.Tensor):
        plain = array.detach().cpu().contiguous()
        yield from (b"tensor", f"{plain.dtype} {tuple(plain.shape)}".encode())
        yield plain.flatten().view(torch.uint8).numpy()
        return
    if array.dtype.hasobject:
        raise TypeError(
            "value: an array must be of numbers, to be told from others; found one of objects. Give numbers."
        )
    yield from (b"array", f"{array.dtype} {array.shape}".encode())
    yield np.ascontiguousarray(array).reshape(-1).view(np.uint8)
