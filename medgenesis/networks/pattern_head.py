"""The head that tells which anatomical pattern a cube or a slab shows."""

import torch
from torch import nn

from medgenesis.networks.normalisation import norm_layer
from medgenesis.networks.parts import global_average_pool


class PatternHead(nn.Module):
    """Class logits from an encoder's last feature map: 3x3x3 convolution to twice the channels, pool, dense layer.

    Called with the last feature map (B, in_channels, X, Y, Z), or (B, in_channels, H, W) of slabs, it returns logits
    (B, num_classes).

    Args:
        in_channels: channels of the last feature map.
        num_classes: number of patterns, 2 or more.
        norm: see `UNet3D`.
        spatial_dims: 3, or 2 for maps of slabs.

    Raises:
        ValueError: fewer than 2 classes, or another `spatial_dims`.

    References:
        Haghighi et al., Semantic Genesis, MICCAI 2020 (arXiv 2007.06959), section 2.

    Notes:
        The form for slabs is ours. Logits are returned; the published network applies a softmax, and its loss takes the
        logarithm of that.
    """

    def __init__(self, in_channels: int, num_classes: int, norm: str = "batch", spatial_dims: int = 3):
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims: must be 3, or 2 for slabs; found {spatial_dims!r}. Choose one of them.")
        if num_classes < 2:
            raise ValueError(f"num_classes: must be at least 2; found {num_classes}. Give the number of patterns.")
        convolution = nn.Conv3d if spatial_dims == 3 else nn.Conv2d
        self.conv = convolution(in_channels, 2 * in_channels, kernel_size=3, padding=1)
        self.norm = norm_layer(norm, 2 * in_channels, spatial_dims)
        self.fc = nn.Linear(2 * in_channels, num_classes)

    def forward(self, bottleneck: torch.Tensor) -> torch.Tensor:
        return self.fc(global_average_pool(torch.relu(self.norm(self.conv(bottleneck)))))
