"""Several processes of one training: how they meet, wait for each other, and end where one does not answer."""

import itertools
import os
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

from medgenesis.errors import TrainingError

T = TypeVar("T")

_limits = {"timeout_minutes": timedelta(minutes=30), "reading_hours": timedelta(hours=24)}
_NOTICED = "medgenesis rank {} noticed"  # key of the store that all processes see
_calls = itertools.count()  # of `once_a_node`, as many in every process
_A_WHILE = 5.0  # seconds
_TALK = ("gloo", "nccl", "Timed out", "Connection closed", "Connection reset", "Socket", "monitoredBarrier")


def join_processes(backend: str, timeout_minutes: float = 30, reading_hours: float = 24) -> None:
    """Make this process one of those that `torchrun` has started; where it is one already, nothing.

    Args:
        backend: "nccl" or "gloo".
        timeout_minutes: how long a step waits for the other processes.
        reading_hours: how long they wait for the one that reads the volumes, before training.
    """
    _limits.update(timeout_minutes=timedelta(minutes=timeout_minutes), reading_hours=timedelta(hours=reading_hours))
    if "SLURM_JOB_ID" in os.environ and "LOCAL_RANK" in os.environ:
        # of Slurm there is one task a machine; Ignite would take its number for that of every process, and so one GPU
        os.environ["SLURM_LOCALID"] = os.environ["LOCAL_RANK"]
    if not dist.is_initialized():
        dist.init_process_group(backend, timeout=_limits["timeout_minutes"])


@contextmanager
def waiting(limit: str = "timeout_minutes") -> Generator[None, None, None]:
    """Where a process does not answer within a limit, or has ended: an error that names it, in all others.

    Args:
        limit: "timeout_minutes" or "reading_hours".

    Raises:
        TrainingError: in place of the backend's error. NCCL ends the process by itself, with a message of its own.
    """
    try:
        yield
    except RuntimeError as error:
        if not several_processes() or not (isinstance(error, dist.DistError) or _is_of_talk(error)):
            raise
        reason = " ".join(str(error).split())[:200]
        silent = ", ".join(map(str, _silent())) or "that is not known"
        raise TrainingError(
            f"processes: all of {dist.get_world_size()} must answer within {_limits[limit]} ({limit}); found "
            f"no answer of rank {silent} at rank {dist.get_rank()} ({reason}). See what that process does (its log, "
            f"its disk, its memory), run again to continue, or give a larger {limit}."
        ) from error


def _is_of_talk(error: RuntimeError) -> bool:
    return any(word in str(error) for word in _TALK)


def _silent() -> list[int]:
    """The ranks that do not notice in a while that one is lacking: those that block, or have ended."""
    ranks = set(range(dist.get_world_size())) - {dist.get_rank()}
    with suppress(RuntimeError):  # the store has ended with its process
        store = dist.distributed_c10d._get_default_store()
        store.set(_NOTICED.format(dist.get_rank()), "")
        until = time.monotonic() + _A_WHILE
        while ranks and time.monotonic() < until:
            ranks = {rank for rank in ranks if not store.check([_NOTICED.format(rank)])}
            time.sleep(0.1)
    return sorted(ranks)


def several_processes() -> bool:
    """Whether `torch.distributed` is initialised with more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class Flag:
    """A flag that one process raises and all see, without waiting for each other: a `threading.Event` of processes.

    Args:
        name: the same in all processes, and of one use.
    """

    def __init__(self, name: str) -> None:
        self._key = f"medgenesis {name}"

    def set(self) -> None:
        """Raise it; it stays."""
        dist.distributed_c10d._get_default_store().set(self._key, "")

    def is_set(self) -> bool:
        """Whether a process has raised it."""
        return dist.distributed_c10d._get_default_store().check([self._key])


def once_a_node(work: Callable[[], T], share: Callable[[int, int, Flag], Any] | None = None) -> T:
    """What `work` returns, done by the first process of each machine while the others wait, `reading_hours` at most.

    Every process must call it. They wait on a gloo group of their own, not on the backend of the training, whose
    operations time out earlier: reading a folder of scans may take hours. Where `torch.distributed` is not initialised,
    `work` is just done.

    Args:
        work: its result must be picklable, and small: all processes receive it.
        share: with the number of a machine and how many there are, what it does beforehand for all of them, in a folder
            that they share; all have ended before any begins `work`. With one machine, nothing. A flag is that of this
            call: by it one machine tells the others to end.

    Raises:
        Exception: what `work` raises, in every process of every machine, so that none waits for one that has stopped.
    """
    if not several_processes():
        return work()
    stop = Flag(f"stop {next(_calls)}")
    group = dist.new_group(backend="gloo", timeout=_limits["reading_hours"])
    try:
        host = socket.gethostname()
        with waiting():
            hosts = _gathered(host, group)
        first, machines = hosts.index(host), list(dict.fromkeys(hosts))
        works = dist.get_rank() == first
        if share is not None and len(machines) > 1:
            begun = _outcome(lambda: share(machines.index(host), len(machines), stop)) if works else None
            _raise_any(_all_of(begun, group))
        outcomes = _all_of(_outcome(work) if works else None, group)
    finally:
        dist.destroy_process_group(group)
    _raise_any(outcomes)
    return outcomes[first][0]


def _all_of(outcome: Any, group: dist.ProcessGroup) -> list[Any]:
    with waiting("reading_hours"):
        return _gathered(outcome, group)


def _raise_any(outcomes: list[tuple[Any, Exception | None] | None]) -> None:
    for _, error in filter(None, outcomes):
        if error is not None:
            raise error


def _outcome(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:  # raised by all processes, once they know
        return None, error


def _gathered(value: Any, group: dist.ProcessGroup) -> list[Any]:
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=group)
    return values
