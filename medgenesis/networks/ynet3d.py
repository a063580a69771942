"""The network of Semantic Genesis: the 3D U-Net with a second head that names the pattern."""

import torch

from medgenesis.networks.pattern_head import PatternHead
from medgenesis.networks.unet3d import UNet3D


class YNet3D(UNet3D):
    """``UNet3D`` whose encoder also feeds a head of pattern classes.

    Called with a volume (B, in_channels, X, Y, Z) it returns the restoration (B, out_channels, X, Y, Z), or None
    without a decoder, and logits (B, num_classes). A ``UNet3D`` of the same settings takes its weights without the
    class head (``medgenesis.weights.load_pretrained``), and restores alone.

    Args:
        in_channels: channels of the volume.
        out_channels: channels of the restoration.
        width: channels of the first convolution (published: 32); the last feature map has ``16 * width``.
        num_classes: number of logits (published: 44).
        decoder: False leaves out decoder and head: the encoder-only variant ("en"), which classifies alone.
        norm: see ``UNet3D``; it is also that of the class head.
        activation: the restoration head's, see ``UNet3D``.
        pad_to_multiple: see ``UNet3D``.

    Raises:
        ValueError: as ``UNet3D``, or fewer than 2 classes.

    References:
        Haghighi et al., Semantic Genesis, MICCAI 2020 (arXiv 2007.06959), section 2.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        num_classes: int = 44,
        *,
        decoder: bool = True,
        norm: str = "batch",
        activation: str | None = "sigmoid",
        pad_to_multiple: bool = False,
    ):
        super().__init__(
            in_channels, out_channels, width, norm=norm, activation=activation, pad_to_multiple=pad_to_multiple
        )
        if not decoder:
            del self.decoder, self.head  # parameters that the loss does not reach would stop distributed training
        self.restores = decoder
        self.head_names = ("head", "classifier") if decoder else ("classifier",)
        self.classifier = PatternHead(self.encoder.out_channels, num_classes, norm)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        features = self.encoder(self._padded(x))
        restored = self._decoded(features, x) if self.restores else None
        return restored, self.classifier(features[-1])
