"""The 2D U-Net of CAiD, on slabs: the backbone as encoder, the decoder of MONAI's FlexibleUNet, a head."""

from collections import OrderedDict

import torch
from monai.networks.nets.flexible_unet import UNetDecoder
from torch import nn

from medgenesis.networks.activations import activation_layer
from medgenesis.networks.level_head import LevelHead, check_head_levels
from medgenesis.networks.resnet25d import REDUCTION, STEM_CHANNELS, Encoder25D, ResNet25D, backbone_width

DECODER_CHANNELS = (256, 128, 64, 32, 16)
_LEAST = 4  # of a narrow backbone's decoder


class UNet25D(nn.Module):
    """A U-Net whose encoder is a ``ResNet25D``, ``head(decoder(encoder(x)))``.

    Called with slabs (B, slices, H, W) it returns (B, out_channels, H, W). ``encoder(x)`` are the five feature maps
    from half the sides to 1/32; its keys after ``encoder.`` are torchvision's.

    Args:
        name: the encoder, see ``ResNet25D`` (published: "resnet50"); of a narrow one the decoder is narrow too.
        slices: see ``ResNet25D``.
        out_channels: channels of the output.
        activation: the head's: "sigmoid", "softmax" (over channels), or None for logits.
        size: side of the slabs that it is to see: one that does not fit is known before training; None: not known.
        input_normalisation: see ``ResNet25D``.
        head_levels: whose maps the head sees, see ``UNet3D``.

    Raises:
        ValueError: as ``ResNet25D``; another word for ``head_levels``; or ``size``, H or W does not divide by 32.

    References:
        Hosseinzadeh Taher et al., CAiD, MIDL 2022 (arXiv 2204.07344).

    Notes:
        The published decoder joins [upsampled, skip], MONAI's [skip, upsampled]: ``medgenesis.weights`` turns the
        weights of published files (``load_published``) and of ours (``unet25d_to_smp``).
    """

    sees_all_levels: torch.jit.Final[bool]

    def __init__(
        self,
        name: str = "resnet50",
        slices: int = 3,
        out_channels: int = 1,
        *,
        activation: str | None = None,
        size: int | None = None,
        input_normalisation: str = "none",
        head_levels: str = "last",
    ):
        super().__init__()
        check_head_levels(head_levels)
        self.sees_all_levels = head_levels == "all"
        if size is not None and (size < REDUCTION or size % REDUCTION):
            smaller = max(1, size // REDUCTION) * REDUCTION
            raise ValueError(
                f"size: must divide by {REDUCTION}, as the maps are halved five times; found {size}. "
                f"Use {smaller} or {smaller + REDUCTION}."
            )
        self.encoder = Encoder25D(ResNet25D(name, slices, input_normalisation=input_normalisation))
        share = backbone_width(name)[1] / STEM_CHANNELS
        channels = tuple(max(round(count * share), _LEAST) for count in DECODER_CHANNELS)
        self.decoder = UNetDecoder(
            spatial_dims=2,
            encoder_channels=(slices, *self.encoder.feature_channels),
            decoder_channels=channels,
            act=("relu", {"inplace": True}),
            norm=("batch", {"eps": 1e-5, "momentum": 0.1}),
            dropout=0.0,
            bias=False,
            upsample="nontrainable",
            pre_conv=None,  # MONAI's default halves the channels first: another network
            interp_mode="nearest",
            align_corners=None,
            is_pad=False,
        )
        if self.sees_all_levels:
            seen = (*self.encoder.feature_channels, *channels)
            self.head: nn.Module = LevelHead(seen, out_channels, activation, axes=2)
        else:
            convolution = nn.Conv2d(channels[-1], out_channels, kernel_size=3, padding=1)
            self.head = nn.Sequential(OrderedDict(conv=convolution, activation=activation_layer(activation)))
        for module in self.decoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, mode="fan_in", nonlinearity="relu")
        if not self.sees_all_levels:
            nn.init.xavier_uniform_(convolution.weight)
            nn.init.zeros_(convolution.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():
            _check_sides(x)
        features = self.encoder(x)
        if self.sees_all_levels:
            return self.head(features + self._decoder_maps(features))
        return self.head(self.decoder(features))

    def head_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What the head sees of slabs, for each of its convolutions (B, channels, *some spatial)."""
        features = self.encoder(x)
        return [*features, *self._decoder_maps(features)] if self.sees_all_levels else [self.decoder(features)]

    def _decoder_maps(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Those of all blocks, from deep to shallow; the last is what the decoder returns."""
        found: list[torch.Tensor] = []
        x = features[-1]
        for level, block in enumerate(self.decoder.blocks):
            skip: torch.Tensor | None = None
            if level < len(features) - 1:
                skip = features[-2 - level]
            x = block(x, skip)
            found.append(x)
        return found


def _check_sides(x: torch.Tensor) -> None:
    if any(side % REDUCTION for side in x.shape[2:]):
        raise ValueError(
            f"input: sides must divide by {REDUCTION}; found {tuple(x.shape[2:])}. Resize or pad the slabs, to "
            f"{tuple(side + -side % REDUCTION for side in x.shape[2:])} for instance."
        )
