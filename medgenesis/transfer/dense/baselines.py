"""What an embedding must beat to have learnt anything: the same backbone untrained, other images' weights, raw
pixels.
"""

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from medgenesis.networks import ResNet25D
from medgenesis.weights import initialise


class RawPixels(nn.Module):
    """No network: the pixels of the middle slice less their mean, so that a cosine is the correlation of two patches.

    Shape: (B, k, H, W) -> (B, H * W); of volumes (B, k, X, Y, Z) -> (B, X * Y * Z).
    """

    def forward(self, x: Tensor) -> Tensor:
        pixels = x[:, x.shape[1] // 2].flatten(1)
        return pixels - pixels.mean(dim=1, keepdim=True)


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
        photographs = ResNet25D(backbone.name, backbone.slices, input_normalisation="imagenet")
        network = initialise(photographs, imagenet, inflate_input=True)
        controls["ImageNet"] = network.to(next(backbone.parameters()).device)
    return controls
