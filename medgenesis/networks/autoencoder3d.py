"""The auto-encoder whose features describe a patient: everything passes its bottleneck."""

import torch
from torch import nn

from medgenesis.networks.unet3d import ConvNormReLU, UNet3D


class BottleneckDecoder(nn.Module):
    """From the last of the encoder's feature maps alone to one map (B, feature_channels[0], X, Y, Z) of full size."""

    def __init__(self, feature_channels: tuple[int, ...], norm: str):
        super().__init__()
        self.levels = nn.Sequential()
        deep_to_shallow = feature_channels[::-1]
        for deep, shallow in zip(deep_to_shallow[:-1], deep_to_shallow[1:], strict=True):
            up = nn.ConvTranspose3d(deep, deep, kernel_size=2, stride=2)
            convs = ConvNormReLU(deep, shallow, norm), ConvNormReLU(shallow, shallow, norm)
            self.levels.append(nn.Sequential(up, *convs))

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        return self.levels(features[-1])


class AutoEncoder3D(UNet3D):
    """``UNet3D`` without its skip connections, so that what it restores must have passed the last feature map.

    Args:
        in_channels: channels of the volume (B, in_channels, X, Y, Z), and of the output.
        width: channels of the first convolution; the last feature map has ``16 * width``.
        norm: see ``UNet3D``.
        activation: see ``UNet3D``.
        pad_to_multiple: see ``UNet3D``.

    Raises:
        ValueError: as ``UNet3D``.

    References:
        Haghighi et al., Semantic Genesis, MICCAI 2020 (arXiv 2007.06959), section 2: self-discovery.

    Notes:
        The published auto-encoder is a U-Net with skip connections, through which it can copy its input.
    """

    def __init__(
        self,
        in_channels: int = 1,
        width: int = 32,
        *,
        norm: str = "batch",
        activation: str | None = "sigmoid",
        pad_to_multiple: bool = False,
    ):
        super().__init__(
            in_channels, in_channels, width, norm=norm, activation=activation, pad_to_multiple=pad_to_multiple
        )
        self.decoder = BottleneckDecoder(self.encoder.feature_channels, norm)
