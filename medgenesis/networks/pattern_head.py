"""The head that tells which anatomical pattern a cube shows."""

import torch
from torch import nn

from medgenesis.networks.normalisation import norm_layer


class PatternHead(nn.Module):
    """Class logits from an encoder's deepest map: 3x3x3 convolution to twice the channels, pool, dense layer.

    Called with the deepest map (B, in_channels, X, Y, Z) it returns logits (B, num_classes).

    Args:
        in_channels: channels of the deepest map.
        num_classes: number of patterns, 2 or more.
        norm: see `UNet3D`.

    Raises:
        ValueError: fewer than 2 classes.

    References:
        Haghighi et al., Semantic Genesis, MICCAI 2020 (arXiv 2007.06959), section 2.

    Notes:
        Logits are returned; the published network applies a softmax, and its loss takes the logarithm of that.
    """

    def __init__(self, in_channels: int, num_classes: int, norm: str = "batch"):
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes: must be at least 2; found {num_classes}. Give the number of patterns.")
        self.conv = nn.Conv3d(in_channels, 2 * in_channels, kernel_size=3, padding=1)
        self.norm = norm_layer(norm, 2 * in_channels)
        self.fc = nn.Linear(2 * in_channels, num_classes)

    def forward(self, deepest: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.norm(self.conv(deepest)))
        return self.fc(features.mean(dim=(2, 3, 4)))
