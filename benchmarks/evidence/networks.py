"""The networks of the programme: small U-Nets, and the answer on the finer grid that is scored."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgenesis.networks import UNet3D, UNet25D

WIDTH = 8  # of volumes
BACKBONE = "resnet18_w8"  # of images


class FinerLogits(nn.Module):
    """A network whose logits are enlarged (linearly) to the grid of the labels.

    Args:
        network: (B, 1, *spatial) -> logits (B, C, *spatial).
        factor: of the sides.
    """

    def __init__(self, network: nn.Module, factor: int) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, image: Tensor) -> Tensor:
        return enlarged(self.network(image), self.factor)


def segmenter(dims: int, structures: int, seed: int) -> nn.Module:
    """A network of `structures` + 1 logits with the weights of a seed, for images of 2 or 3 dimensions."""
    torch.manual_seed(seed)
    return _network(dims, structures + 1, None)


def restorer(dims: int) -> nn.Module:
    """A network that gives an image back, what pretexts train; its weights follow from torch's seed."""
    return _network(dims, 1, "sigmoid")


def embedder(dims: int, features: int) -> nn.Module:
    """A network that gives so many numbers of each voxel, without activation; its weights follow from torch's seed."""
    return _network(dims, features, None)


def _network(dims: int, channels: int, activation: str | None) -> nn.Module:
    if dims == 2:
        return UNet25D(BACKBONE, 1, channels, activation=activation)
    return UNet3D(1, channels, WIDTH, activation=activation)


def enlarged(logits: Tensor, factor: int) -> Tensor:
    """(B, C, *spatial) on a grid finer by a factor, linearly."""
    if factor == 1:
        return logits
    mode = "trilinear" if logits.ndim == 5 else "bilinear"
    return F.interpolate(logits, scale_factor=factor, mode=mode)
