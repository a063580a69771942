"""Prepared items given by a process that reads to the one that keeps them, with their meta data and trace."""

import os
import pickle
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import reduction
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

_SMALL = 2**20  # bytes: a pipe takes fewer as fast
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
        with suppress(AttributeError, OSError):
            return InMemoryFile(content, [array.nbytes for array in arrays], _written(arrays))
    return pickle.dumps(plain, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(data: "bytes | InMemoryFile") -> dict[str, Any]:
    """The item that `packed` was given. Only for what this program has made."""
    plain = pickle.loads(data) if isinstance(data, bytes) else data.read()
    return {key: value.tensor() if isinstance(value, _Array) else value for key, value in plain.items()}


class InMemoryFile:
    """A pickle whose arrays lie in a file in memory. Pickled, the file's descriptor goes along, once.

    Args:
        content: the pickle.
        sizes: bytes of the arrays.
        descriptor: of the file, which this object then owns.
    """

    def __init__(self, content: bytes, sizes: Sequence[int], descriptor: int) -> None:
        self.content, self.sizes, self._descriptor = content, list(sizes), descriptor

    def read(self) -> Any:
        """The object; its arrays own their memory. This closes the file."""
        size = sum(map(_stepped, self.sizes))
        # private: what a process writes, none that is forked from it sees. The mapping holds no descriptor
        found = torch.from_file(f"/proc/self/fd/{self._descriptor}", shared=False, size=size, dtype=torch.uint8)
        self._close()
        bytes_of_file, begin, buffers = memoryview(found.numpy()), 0, []
        for one in self.sizes:
            buffers.append(bytes_of_file[begin : begin + one])
            begin += _stepped(one)
        return pickle.loads(self.content, buffers=buffers)

    def __reduce__(self) -> tuple:
        given = reduction.DupFd(self._descriptor)
        self._close()
        return _received, (self.content, self.sizes, given)

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _received(content: bytes, sizes: Sequence[int], given: Any) -> InMemoryFile:
    return InMemoryFile(content, sizes, given.detach())


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
