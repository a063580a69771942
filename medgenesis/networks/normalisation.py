"""Normalisation layers by name."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn


class _AlwaysBatchNorm:
    """Batch norm that uses the statistics of the batch at hand always, in evaluation too.

    The running statistics keep updating (in evaluation too), and ``num_batches_tracked`` stays 0. Its state-dict keys
    are those of PyTorch's batch norm.

    Notes:
        As the published Models Genesis networks do. A window's result depends on the other windows of its batch, so a
        sliding-window result depends on the batch size; ``SyncBatchNorm.convert_sync_batchnorm`` loses this behaviour.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        running = (self.running_mean, self.running_var)
        return F.batch_norm(x, *running, self.weight, self.bias, training=True, momentum=self.momentum, eps=self.eps)


class AlwaysBatchNorm2d(_AlwaysBatchNorm, nn.BatchNorm2d):
    __doc__ = _AlwaysBatchNorm.__doc__


class AlwaysBatchNorm3d(_AlwaysBatchNorm, nn.BatchNorm3d):
    __doc__ = _AlwaysBatchNorm.__doc__


_NORMS = {
    "batch": {2: nn.BatchNorm2d, 3: nn.BatchNorm3d},
    "batch_always": {2: AlwaysBatchNorm2d, 3: AlwaysBatchNorm3d},
    "instance": {2: partial(nn.InstanceNorm2d, affine=True), 3: partial(nn.InstanceNorm3d, affine=True)},
}


def norm_layer(name: str, channels: int, spatial_dims: int = 3) -> nn.Module:
    """A normalisation layer for maps (B, ``channels``, X, Y, Z), or (B, ``channels``, H, W): "batch", "batch_always" or
    "instance"."""
    if name not in _NORMS:
        raise ValueError(f"norm: must be one of {', '.join(_NORMS)}; found {name!r}. Choose one of them.")
    return _NORMS[name][spatial_dims](channels)
