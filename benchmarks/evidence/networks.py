"""The networks of the programme: small U-Nets, and the answer on the finer grid that is scored."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgenesis.networks import UNet3D

WIDTH = 8


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


def segmenter(structures: int, seed: int) -> UNet3D:
    """A network of `structures` + 1 logits with the weights of a seed."""
    torch.manual_seed(seed)
    return UNet3D(1, structures + 1, WIDTH, activation=None)


def enlarged(logits: Tensor, factor: int) -> Tensor:
    """(B, C, *spatial) on a grid finer by a factor, linearly."""
    if factor == 1:
        return logits
    mode = "trilinear" if logits.ndim == 5 else "bilinear"
    return F.interpolate(logits, scale_factor=factor, mode=mode)


def levels_of(network: UNet3D, image: Tensor) -> list[Tensor]:
    """Feature maps of all levels, encoder (shallow to deep), then decoder (deep to shallow), each (B, C, *its grid)."""
    features = network.encoder(image)
    x, decoded = features[-1], []
    for level, up in enumerate(network.decoder.levels):
        x = up(x, features[-2 - level])
        decoded.append(x)
    return [*features, *decoded]
