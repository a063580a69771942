"""The networks of the programme: small U-Nets, and the answer on the finer grid that is scored."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.evidence.sets import StudySet
from medgenesis.networks import UNet3D, UNet25D


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


def segmenter(study: StudySet, seed: int, head_levels: str = "last") -> nn.Module:
    """A network of logits, one a structure and the background, with the weights of a seed."""
    torch.manual_seed(seed)
    return _network(study, len(study.structures) + 1, None, head_levels)


def restorer(study: StudySet) -> nn.Module:
    """A network that gives an image back, what pretexts train; its weights follow from torch's seed."""
    return _network(study, 1, "sigmoid")


def embedder(study: StudySet, features: int) -> nn.Module:
    """A network that gives so many numbers of each voxel, without activation; its weights follow from torch's seed."""
    return _network(study, features, None)


def _network(study: StudySet, channels: int, activation: str | None, head_levels: str = "last") -> nn.Module:
    own = {"activation": activation, "head_levels": head_levels}
    if study.dims == 2:
        return UNet25D(study.size.backbone, 1, channels, **own)
    return UNet3D(1, channels, study.size.width, **own)


def enlarged(logits: Tensor, factor: int) -> Tensor:
    """(B, C, *spatial) on a grid finer by a factor, linearly."""
    if factor == 1:
        return logits
    mode = "trilinear" if logits.ndim == 5 else "bilinear"
    return F.interpolate(logits, scale_factor=factor, mode=mode)
