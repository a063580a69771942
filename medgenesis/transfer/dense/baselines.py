"""What an embedding must beat to have learnt anything: the same backbone untrained, other images' weights, raw
pixels.
"""

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from medgenesis.networks import ResNet25D
from medgenesis.weights import initialise

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class RawPixels(nn.Module):
    """No network: the pixels of the middle slice less their mean, so that a cosine is the correlation of two patches.

    Shape: (B, k, H, W) -> (B, H * W).
    """

    def forward(self, x: Tensor) -> Tensor:
        pixels = x[:, x.shape[1] // 2].flatten(1)
        return pixels - pixels.mean(dim=1, keepdim=True)


class _ImageNetInput(nn.Module):
    """[0, 1] as published backbones of photographs take it, channel by channel; grey where channels are not three."""

    def __init__(self, slices: int) -> None:
        super().__init__()
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        if slices != 3:
            mean, std = mean.mean().expand(slices), std.mean().expand(slices)
        self.register_buffer("mean", mean[:, None, None])
        self.register_buffer("std", std[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def dense_baselines(
    backbone: ResNet25D, *, imagenet: str | os.PathLike | Mapping | None = None, seed: int = 0
) -> dict[str, nn.Module]:
    """The controls of a backbone: "random init", "raw pixels" and, where weights are given, "ImageNet".

    Args:
        backbone: whose architecture and number of slices the controls have.
        imagenet: file or state dict of a backbone of photographs under torchvision's keys, classifier or not; it sees
            its input with ImageNet's mean and standard deviation.
        seed: of the untrained weights.

    Raises:
        CheckpointError: the weights are of another architecture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        controls: dict[str, nn.Module] = {
            "random init": ResNet25D(backbone.name, backbone.slices).to(next(backbone.parameters()).device),
            "raw pixels": RawPixels(),
        }
    if imagenet is not None:
        photographs = initialise(ResNet25D(backbone.name, backbone.slices), imagenet, inflate_input=True)
        network = nn.Sequential(_ImageNetInput(backbone.slices), photographs)
        controls["ImageNet"] = network.to(next(backbone.parameters()).device)
    return controls
