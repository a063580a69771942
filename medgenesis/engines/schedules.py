"""Schedules of a run that goes on with another learning rate, or another number of epochs."""

import math
from collections.abc import Iterator
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR


def initial_rates(optimizer: Optimizer) -> list[float]:
    """The learning rate of each group before any schedule, as `note_initial_rates` or the schedule has noted it."""
    return [float(group["initial_lr"]) for group in optimizer.param_groups]


def note_initial_rates(optimizer: Optimizer, rates: list[float] | None = None) -> None:
    """Note the present ones, or `rates`, where no schedule has: a plateau changes `lr` and keeps no `initial_lr`."""
    for group, rate in zip(optimizer.param_groups, rates or [g["lr"] for g in optimizer.param_groups], strict=True):
        group.setdefault("initial_lr", rate)


def load_schedule(scheduler: Any, state: dict[str, Any]) -> None:
    """Load a scheduler's state, but for the length of a cosine: the one of now holds, with the rates that it gives."""
    lengths = [(part, part.T_max) for part in _parts(scheduler) if hasattr(part, "T_max")]
    scheduler.load_state_dict(state)
    for part, length in lengths:
        if part.T_max == length:
            continue
        part.T_max = length  # the recursive form of torch would stay at the rate 0 of a finished cosine
        share = (1 + math.cos(math.pi * part.last_epoch / length)) / 2 * _warmed(scheduler)
        part._last_lr = [part.eta_min + (base - part.eta_min) * share for base in part.base_lrs]
        for group, rate in zip(part.optimizer.param_groups, part._last_lr, strict=True):
            group["lr"] = rate


def _warmed(scheduler: Any) -> float:
    """What the warm-ups beside a cosine have let through so far."""
    shares = (
        part.start_factor
        + (part.end_factor - part.start_factor) * min(part.last_epoch, part.total_iters) / part.total_iters
        for part in _parts(scheduler)
        if isinstance(part, LinearLR) and part.total_iters
    )
    return math.prod(shares)


def hold_rates(optimizer: Optimizer, scheduler: Any, rates: list[float]) -> None:
    """Let the groups go on from where they are in their schedule, as if they had begun with these rates.

    Args:
        optimizer: with the state of the run so far.
        scheduler: likewise, or None.
        rates: initial learning rate of each group.
    """
    old = initial_rates(optimizer)
    factors = [new / before if before else None for new, before in zip(rates, old, strict=True)]
    for group, rate, factor in zip(optimizer.param_groups, rates, factors, strict=True):
        group["lr"] = rate if factor is None else group["lr"] * factor
        group["initial_lr"] = rate
    for part in _parts(scheduler):
        if hasattr(part, "base_lrs"):
            part.base_lrs = list(rates)
        if hasattr(part, "_last_lr"):
            part._last_lr = [float(group["lr"]) for group in optimizer.param_groups]


def _parts(scheduler: Any) -> Iterator[Any]:
    """A scheduler, and those that it is made of."""
    if scheduler is None:
        return
    yield scheduler
    for part in getattr(scheduler, "_schedulers", ()):
        yield from _parts(part)
