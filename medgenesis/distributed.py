"""Several processes of one training: work that one process of each machine does for all of them."""

import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")

_PATIENCE = timedelta(days=30)  # reading a folder of scans may take hours; NCCL gives up after ten minutes


def several_processes() -> bool:
    """Whether `torch.distributed` is initialised with more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def once_a_node(work: Callable[[], T]) -> T:
    """What `work` returns, done by the first process of each machine while the others wait, however long it takes.

    Every process must call it. They wait on a gloo group of their own, not on the backend of the training, whose
    operations time out. Where `torch.distributed` is not initialised, `work` is just done.

    Args:
        work: its result must be picklable, and small: all processes receive it.

    Raises:
        Exception: what `work` raises, in every process of every machine, so that none waits for one that has stopped.
    """
    if not several_processes():
        return work()
    group = dist.new_group(backend="gloo", timeout=_PATIENCE)
    try:
        host = socket.gethostname()
        first = _gathered(host, group).index(host)
        outcomes = _gathered(_outcome(work) if dist.get_rank() == first else None, group)
    finally:
        dist.destroy_process_group(group)
    for _, error in filter(None, outcomes):
        if error is not None:
            raise error
    return outcomes[first][0]


def _outcome(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:  # raised by all processes, once they know
        return None, error


def _gathered(value: Any, group: dist.ProcessGroup) -> list[Any]:
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=group)
    return values
