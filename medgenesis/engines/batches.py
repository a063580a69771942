"""A batch on its way to the network."""

from typing import Any

import torch
from torch import Tensor, nn

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def to_device(batch: dict[str, Any], device: torch.device, channels_last: bool = False) -> dict[str, Any]:
    """The same batch with its tensors on a device; `channels_last` lays slabs and volumes out in that memory order."""
    moved = {}
    for name, value in batch.items():
        if isinstance(value, Tensor):
            value = value.to(device, non_blocking=True)
            value = in_channels_last(value) if channels_last else value
        moved[name] = value
    return moved


def in_channels_last(tensor: Tensor) -> Tensor:
    """The same numbers, (B, C, H, W) or (B, C, X, Y, Z) in channels-last memory order; others as they are."""
    order = _CHANNELS_LAST.get(tensor.ndim)
    return tensor if order is None else tensor.contiguous(memory_format=order)


def weights_in_channels_last(module: nn.Module) -> None:
    """Lay out a module's weights so; `Module.to(memory_format)` takes one format, and fails on the other rank."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = in_channels_last(tensor.data)
