"""A batch on its way to the network."""

from typing import Any

import torch
from torch import Tensor, nn

from medgenesis.transforms.deferred import SEED

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def ready(batch: dict[str, Any], dataset: Any, device: torch.device, channels_last: bool = False) -> dict[str, Any]:
    """A batch of a loader as a method takes it.

    Args:
        batch: collated samples.
        dataset: what they are of; one that has `complete`, as `SeededDataset`, is asked to do what it has deferred.
        device: where the tensors go, and where that is done; its seeds stay in the processor's memory.
        channels_last: lay slabs and volumes out in that memory order.
    """
    moved = {name: _moved(value, device) if name != SEED else value for name, value in batch.items()}
    whole = dataset.complete(moved) if hasattr(dataset, "complete") else moved
    return {name: in_channels_last(value) for name, value in whole.items()} if channels_last else whole


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value


def in_channels_last(value: Any) -> Any:
    """The same numbers, (B, C, H, W) or (B, C, X, Y, Z) in channels-last memory order; others as they are."""
    order = _CHANNELS_LAST.get(value.ndim) if isinstance(value, Tensor) else None
    return value if order is None else value.contiguous(memory_format=order)


def weights_in_channels_last(module: nn.Module) -> None:
    """Lay out a module's weights so; `Module.to(memory_format)` takes one format, and fails on the other rank."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = in_channels_last(tensor.data)
