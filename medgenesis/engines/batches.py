"""A batch on its way to the network."""

from typing import Any

import torch
from torch import Tensor


def to_device(
    batch: dict[str, Any], device: torch.device, memory_format: torch.memory_format = torch.preserve_format
) -> dict[str, Any]:
    """The same batch with its tensors on a device; `memory_format` is that of volumes (B, C, X, Y, Z)."""
    moved = {}
    for name, value in batch.items():
        if isinstance(value, Tensor):
            volume_format = memory_format if value.ndim == 5 else torch.preserve_format
            value = value.to(device, non_blocking=True, memory_format=volume_format)
        moved[name] = value
    return moved
