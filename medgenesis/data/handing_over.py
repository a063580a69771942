"""Prepared items given by a process that reads to the one that keeps them, with their meta data and trace."""

import os
import pickle
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import reduction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from medgenesis.errors import VolumeError

_SMALL = 2**20  # bytes: a pipe takes fewer as fast
_OPEN = "/proc/self/fd"
_STEP = 64  # where an array begins, a multiple of these bytes


def packed(item: dict[str, Any]) -> "bytes | InMemoryFile":
    """An item on its way to another process: small ones as bytes, others in a file in memory that both see.

    PyTorch would send tensors through /dev/shm, which is 64 MB in a container, and a pipe copies bytes several times.
    Systems without such files (all but Linux) take bytes for all.
    """
    buffers: list[pickle.PickleBuffer] = []
    plain = {key: _Array(value) if isinstance(value, torch.Tensor) else value for key, value in item.items()}
    content = pickle.dumps(plain, protocol=5, buffer_callback=buffers.append)
    arrays = [buffer.raw() for buffer in buffers]
    if sum(array.nbytes for array in arrays) >= _SMALL:
        with suppress(AttributeError, OSError):  # now: the thread that sends items would lose one with its error
            return InMemoryFile(content, [array.nbytes for array in arrays], _given(arrays))
    return pickle.dumps(plain, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(data: "bytes | InMemoryFile") -> dict[str, Any]:
    """The item that `packed` was given. Only for what this program has made."""
    plain = pickle.loads(data) if isinstance(data, bytes) else data.read()
    return {key: value.tensor() if isinstance(value, _Array) else value for key, value in plain.items()}


class InMemoryFile:
    """A pickle whose arrays lie in a file in memory, to be pickled and read once.

    Args:
        content: the pickle.
        sizes: bytes of the arrays.
        given: the file's descriptor, on its way.
    """

    def __init__(self, content: bytes, sizes: Sequence[int], given: Any) -> None:
        self.content, self.sizes, self._given = content, list(sizes), given

    def read(self) -> Any:
        """The object; its arrays are writable views of one memory, which they keep.

        Raises:
            VolumeError: the process that wrote it has ended.
        """
        try:
            descriptor = self._given.detach()
        except (OSError, EOFError) as error:
            raise VolumeError(
                f"num_workers: each process that reads volumes must live; found one that has ended ({error}). Memory "
                "is probably short: set num_workers lower (0: one volume at a time), or give more memory."
            ) from error
        try:  # private: what a process writes, none that is forked from it sees. The mapping holds no descriptor
            size = sum(map(_stepped, self.sizes))
            found = torch.from_file(f"{_OPEN}/{descriptor}", shared=False, size=size, dtype=torch.uint8)
        finally:
            os.close(descriptor)
        bytes_of_file, begin, buffers = memoryview(found.numpy()), 0, []
        for one in self.sizes:
            buffers.append(bytes_of_file[begin : begin + one])
            begin += _stepped(one)
        return pickle.loads(self.content, buffers=buffers)


def _given(arrays: Sequence[memoryview]) -> Any:
    """The descriptor of a file in memory that holds the arrays, for another process or this one to take."""
    descriptor = _written(arrays)
    try:
        Path(f"{_OPEN}/{descriptor}").stat()  # it is opened so by whoever takes it
        return reduction.DupFd(descriptor)
    finally:
        os.close(descriptor)


def _written(arrays: Sequence[memoryview]) -> int:
    """The descriptor of a new file in memory that holds these arrays, each at a multiple of `_STEP`."""
    descriptor = os.memfd_create("medgenesis")
    try:
        os.ftruncate(descriptor, sum(_stepped(array.nbytes) for array in arrays))
        begin = 0
        for array in arrays:
            done = 0
            while done < array.nbytes:
                done += os.pwrite(descriptor, array[done:], begin + done)
            begin += _stepped(array.nbytes)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _stepped(size: int) -> int:
    return -(-size // _STEP) * _STEP


class _Array:
    """A tensor as an array, which is pickled without intermediate copies."""

    def __init__(self, value: torch.Tensor) -> None:
        self.array: np.ndarray = torch.Tensor.numpy(value.as_tensor() if isinstance(value, MetaTensor) else value)
        self.more = (value.meta, value.applied_operations) if isinstance(value, MetaTensor) else None

    def tensor(self) -> torch.Tensor:
        plain = torch.from_numpy(self.array)
        if self.more is None:
            return plain
        meta, operations = self.more
        return MetaTensor(plain, meta=meta, applied_operations=operations)
