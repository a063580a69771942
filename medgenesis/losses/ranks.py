"""Tensors of all processes of a distributed run, in rank order; alone, everything is as it was."""

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Processes of the run; 1 where `torch.distributed` is not initialised."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def gathered(rows: Tensor) -> Tensor:
    """The rows (B, …) of all processes, (world * B, …); every process must call it, with as many rows.

    Gradients flow to this process's own rows, times the number of processes. So where every process computes the same
    loss on the gathered rows, the average that DistributedDataParallel takes is that loss's gradient.
    """
    world = world_size()
    if world == 1:
        return rows
    rows = rows.contiguous()
    parts = [torch.empty_like(rows) for _ in range(world)]
    dist.all_gather(parts, rows.detach())
    if rows.requires_grad:  # the difference is nought: it carries the gradient alone, and the values stay exact
        parts[rank()] = rows.detach() + world * (rows - rows.detach())
    return torch.cat(parts)


def shared_permutation(length: int, device: torch.device) -> Tensor:
    """One random order of `length` rows, int64, the same in every process: rank 0 draws it from torch's generator."""
    order = torch.randperm(length, device=device)
    if world_size() > 1:
        dist.broadcast(order, 0)
    return order
