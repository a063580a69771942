"""Normalisation layers of the 3D networks, by name."""

import torch
import torch.nn.functional as F
from torch import nn


class AlwaysBatchNorm3d(nn.BatchNorm3d):
    """Batch norm that uses the statistics of the batch at hand always, in evaluation too.

    The running statistics keep updating (in evaluation too), and ``num_batches_tracked`` stays 0. Its state-dict keys
    are those of ``BatchNorm3d``.

    Notes:
        As the published Models Genesis networks do. A window's result depends on the other windows of its batch, so a
        sliding-window result depends on the batch size; ``SyncBatchNorm.convert_sync_batchnorm`` loses this behaviour.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        running = (self.running_mean, self.running_var)
        return F.batch_norm(x, *running, self.weight, self.bias, training=True, momentum=self.momentum, eps=self.eps)


def _instance_norm(channels: int) -> nn.Module:
    return nn.InstanceNorm3d(channels, affine=True)


_NORMS = {"batch": nn.BatchNorm3d, "batch_always": AlwaysBatchNorm3d, "instance": _instance_norm}


def norm_layer(name: str, channels: int) -> nn.Module:
    """A normalisation layer for maps (B, ``channels``, X, Y, Z): "batch", "batch_always" or "instance"."""
    if name not in _NORMS:
        raise ValueError(f"norm: must be one of {', '.join(_NORMS)}; found {name!r}.")
    return _NORMS[name](channels)
