"""Volumes read by several processes, handed over one after the other in the order of their list."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from medgenesis.errors import VolumeError

_DIED = "DataLoader worker (pid"  # how PyTorch's message begins


def read_in_order(
    readings: Dataset, order: Sequence[int], num_workers: int, files: Sequence[str], ahead: int = 1
) -> Iterator[Any]:
    """Yield `readings[i]` for each i of `order`; what is read does not depend on the number of workers.

    The global random generators are left alone.

    Args:
        readings: their items must be picklable; tensors belong into `packed`.
        order: which are read.
        num_workers: processes that read, as many as there are processor cores at most; with fewer than 2, this process
            reads.
        files: what each reading is of, for messages.
        ahead: readings a worker that are under way or wait to be taken, at most; more than 1 lets small files go on
            while a large one is read, and needs the memory for their results.

    Raises:
        VolumeError: a process that reads was killed.
    """
    workers = min(num_workers, len(order), _cores())
    if workers < 2 or multiprocessing.current_process().daemon:  # a daemon may have no children
        yield from (readings[i] for i in order)
        return
    loader = DataLoader(
        readings,
        batch_size=None,
        sampler=order,
        num_workers=workers,
        collate_fn=_as_it_is,
        prefetch_factor=ahead,
        generator=torch.Generator(),
    )
    results = iter(loader)
    for done in range(len(order)):
        try:
            result = next(results)
        except RuntimeError as error:
            if _DIED not in str(error):
                raise
            under_way = ", ".join(files[i] for i in order[done : done + workers * ahead])
            raise VolumeError(
                f"num_workers: each process that reads volumes must live; found one killed ({str(error).strip()}) "
                f"while these were read: {under_way}. Memory is probably short: set num_workers lower (0: one volume "
                "at a time), or give more memory."
            ) from error
        yield result


def in_worker() -> bool:
    """Whether this is one of the processes of `read_in_order` (or of any `DataLoader`)."""
    return get_worker_info() is not None


def _as_it_is(value: Any) -> Any:
    return value


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
