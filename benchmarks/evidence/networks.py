"""The networks of the programme: small U-Nets, and the answer on the finer grid that is scored."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.evidence.sets import StudySet
from medgenesis.inference.voxel_probe import FeatureLevels
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


class OnAllLevels(nn.Module):
    """A network whose answer is a linear classifier of voxels on the maps of all its levels, encoder and decoder.

    Args:
        network: with levels; its own head is not asked.
        weight: (K, F), of the features of all levels one after the other.
        bias: (K,).
        channels: features of each level.

    Shape:
        input: images (B, 1, *spatial).
        returns: logits (B, K, *spatial).
    """

    def __init__(self, network: nn.Module, weight: Tensor, bias: Tensor, channels: Sequence[int]) -> None:
        super().__init__()
        self.levels = FeatureLevels(network)
        self.weights = nn.ParameterList(part.clone() for part in weight.split(list(channels), dim=1))
        self.bias = nn.Parameter(bias.clone())

    def forward(self, images: Tensor) -> Tensor:
        maps = self.levels(images)[1:]
        logits = [
            enlarged(torch.einsum("kc,bc...->bk...", weight, one), images.shape[-1] // one.shape[-1])
            for weight, one in zip(self.weights, maps, strict=True)
        ]
        return sum(logits) + self.bias.view(1, -1, *(1,) * (images.ndim - 2))


def segmenter(study: StudySet, seed: int) -> nn.Module:
    """A network of logits, one a structure and the background, with the weights of a seed."""
    torch.manual_seed(seed)
    return _network(study, len(study.structures) + 1, None)


def restorer(study: StudySet) -> nn.Module:
    """A network that gives an image back, what pretexts train; its weights follow from torch's seed."""
    return _network(study, 1, "sigmoid")


def embedder(study: StudySet, features: int) -> nn.Module:
    """A network that gives so many numbers of each voxel, without activation; its weights follow from torch's seed."""
    return _network(study, features, None)


def _network(study: StudySet, channels: int, activation: str | None) -> nn.Module:
    if study.dims == 2:
        return UNet25D(study.size.backbone, 1, channels, activation=activation)
    return UNet3D(1, channels, study.size.width, activation=activation)


def enlarged(logits: Tensor, factor: int) -> Tensor:
    """(B, C, *spatial) on a grid finer by a factor, linearly."""
    if factor == 1:
        return logits
    mode = "trilinear" if logits.ndim == 5 else "bilinear"
    return F.interpolate(logits, scale_factor=factor, mode=mode)
