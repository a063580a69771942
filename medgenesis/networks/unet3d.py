"""The 3D U-Net of Models Genesis: an encoder, a decoder and a head that can be used apart."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

from medgenesis.networks.activations import activation_layer
from medgenesis.networks.level_head import LevelHead, check_head_levels
from medgenesis.networks.normalisation import norm_layer

LEVELS = 4
MULTIPLE = 2 ** (LEVELS - 1)  # three poolings


class ConvNormReLU(nn.Module):
    """3x3x3 convolution, normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, norm: str):
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1)
        self.norm = norm_layer(norm, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(self.conv(x)), inplace=True)


class UNetEncoder(nn.Module):
    """Four levels of two convolutions each, with a max-pool between levels.

    Called with a volume (B, in_channels, X, Y, Z) it returns the four feature maps from shallow (full size) to deep
    (an eighth of each side); ``feature_channels`` are their channels, ``out_channels`` those of the last.

    Args:
        in_channels: channels of the volume.
        width: channels of the first convolution; level d ends with ``width * 2**(d + 1)``.
        norm: see ``UNet3D``.

    Raises:
        ValueError: a side is under 8 voxels, or a single value a channel is left for the normalisation.
    """

    def __init__(self, in_channels: int, width: int, norm: str):
        super().__init__()
        self.norm = norm
        self.feature_channels = tuple(width * 2 ** (level + 1) for level in range(LEVELS))
        self.out_channels = self.feature_channels[-1]
        self.levels = nn.ModuleList()
        for out in self.feature_channels:
            # the first convolution of a level has half the channels of the second
            self.levels.append(
                nn.Sequential(ConvNormReLU(in_channels, out // 2, norm), ConvNormReLU(out // 2, out, norm))
            )
            in_channels = out

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        if not torch.jit.is_scripting():  # TorchScript knows no formatted messages; its own errors stand in their place
            self._check(x)
        features: list[torch.Tensor] = []
        for level, convolutions in enumerate(self.levels):
            x = convolutions(F.max_pool3d(x, 2) if level > 0 else x)
            features.append(x)
        return features

    def _check(self, x: torch.Tensor) -> None:
        sides = tuple(x.shape[2:])
        if x.ndim != 5 or min(sides) < MULTIPLE:
            raise ValueError(
                f"input: must be (B, C, X, Y, Z) with sides of {MULTIPLE} voxels or more; found {tuple(x.shape)}. "
                "Give larger cubes."
            )
        values = 1 if self.norm == "instance" else x.shape[0]
        for side in sides:
            values *= side // MULTIPLE
        draws_on_input = self.norm != "batch" or self.training
        if values == 1 and draws_on_input:
            more = "with sides of 16 or more" if self.norm == "instance" else "or a batch of at least 2"
            raise ValueError(
                f"input: norm={self.norm!r} needs more than one value a channel; found a batch of {x.shape[0]} with "
                f"sides {sides}, which leaves the last feature map one value a channel. Give larger cubes {more}."
            )


class _UpLevel(nn.Module):
    """Transposed convolution (twice the size, same channels), concatenation with the skip, two convolutions."""

    def __init__(self, deep_channels: int, skip_channels: int, norm: str):
        super().__init__()
        self.up = nn.ConvTranspose3d(deep_channels, deep_channels, kernel_size=2, stride=2)
        self.convs = nn.Sequential(
            ConvNormReLU(deep_channels + skip_channels, skip_channels, norm),
            ConvNormReLU(skip_channels, skip_channels, norm),
        )

    def forward(self, deep: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.convs(torch.cat([self.up(deep), skip], dim=1))


class UNetDecoder(nn.Module):
    """From the encoder's list of feature maps to one map (B, feature_channels[0], X, Y, Z) of full size."""

    def __init__(self, feature_channels: tuple[int, ...], norm: str):
        super().__init__()
        deep_to_shallow = feature_channels[::-1]
        pairs = zip(deep_to_shallow[:-1], deep_to_shallow[1:], strict=True)
        self.levels = nn.ModuleList(_UpLevel(deep, skip, norm) for deep, skip in pairs)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        x = features[-1]
        for level, up in enumerate(self.levels):
            x = up(x, features[-2 - level])
        return x

    def maps(self, features: list[torch.Tensor]) -> list[torch.Tensor]:
        """Those of all levels, from deep to shallow; the last is what ``forward`` returns."""
        found: list[torch.Tensor] = []
        x = features[-1]
        for level, up in enumerate(self.levels):
            x = up(x, features[-2 - level])
            found.append(x)
        return found


class UNet3D(nn.Module):
    """The encoder-decoder of Models Genesis, ``head(decoder(encoder(x)))``.

    Args:
        in_channels: channels of the volume (B, in_channels, X, Y, Z).
        out_channels: channels of the output (B, out_channels, X, Y, Z).
        width: channels of the first convolution (published: 32); the last feature map has ``16 * width``.
        norm: "batch"; "batch_always", as published: the statistics of the batch at hand always, in evaluation too, so
            that a window's result depends on its neighbours in the batch; or "instance". The state-dict keys of
            "batch" and "batch_always" are the same.
        activation: the head's: "sigmoid", "softmax" (over channels), or None for logits.
        pad_to_multiple: replicate the far borders until each side divides by 8, and crop the output back; replicated,
            since zeros would put air beside tissue.
        guidance: further input channels, for the maps of clicks (`guidance_maps`), one a class; a volume without them,
            (B, in_channels, X, Y, Z), is as one without clicks.
        head_levels: whose maps the head sees: "last", the decoder's last, as published; or "all", those of encoder and
            decoder (``LevelHead``), for few labels.

    Raises:
        ValueError: another word for ``head_levels``; a side does not divide by 8 and ``pad_to_multiple`` is False; a
            side is under 8; one value a channel is left for the normalisation (a batch of one at 8 x 8 x 8, in
            training).

    References:
        Zhou et al., Models Genesis, Medical Image Analysis 2021 (arXiv 2004.07882).

    Notes:
        The published text asks for sides that divide by 16; three poolings need only 8.
    """

    sees_all_levels: torch.jit.Final[bool]

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        *,
        norm: str = "batch",
        activation: str | None = "sigmoid",
        pad_to_multiple: bool = False,
        guidance: int = 0,
        head_levels: str = "last",
    ):
        super().__init__()
        check_head_levels(head_levels)
        self.sees_all_levels = head_levels == "all"
        self.pad_to_multiple, self.in_channels, self.guidance = pad_to_multiple, in_channels, guidance
        self.encoder = UNetEncoder(in_channels + guidance, width, norm)
        self.decoder = UNetDecoder(self.encoder.feature_channels, norm)
        channels = self.encoder.feature_channels
        if self.sees_all_levels:
            self.head: nn.Module = LevelHead((*channels, *channels[-2::-1]), out_channels, activation, axes=3)
        else:
            convolution = nn.Conv3d(channels[0], out_channels, kernel_size=1)
            self.head = nn.Sequential(OrderedDict(conv=convolution, activation=activation_layer(activation)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._decoded(self.encoder(self._padded(self.guided(x))), x)

    def guided(self, x: torch.Tensor) -> torch.Tensor:
        """With maps of clicks, empty ones where none are given."""
        if self.guidance == 0 or x.shape[1] != self.in_channels:
            return x
        return F.pad(x, [0, 0, 0, 0, 0, 0, 0, self.guidance])

    def head_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What the head sees of a volume, for each of its convolutions (B, channels, *some spatial)."""
        features = self.encoder(self._padded(self.guided(x)))
        return [*features, *self.decoder.maps(features)] if self.sees_all_levels else [self.decoder(features)]

    def _decoded(self, features: list[torch.Tensor], volume: torch.Tensor) -> torch.Tensor:
        """From the encoder's maps to the output, cropped to the sides of the volume."""
        if self.sees_all_levels:
            out = self.head(features + self.decoder.maps(features))
        else:
            out = self.head(self.decoder(features))
        sides = volume.shape[2:]
        return out if out.shape[2:] == sides else out[..., : sides[0], : sides[1], : sides[2]]

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        if not self.pad_to_multiple:
            if not torch.jit.is_scripting():
                self._check_sides(x)
            return x
        excess = [-side % 8 for side in x.shape[2:]]  # `MULTIPLE`, which TorchScript cannot see
        if sum(excess) == 0:
            return x
        return F.pad(x, [0, excess[2], 0, excess[1], 0, excess[0]], mode="replicate")

    def _check_sides(self, x: torch.Tensor) -> None:
        if any(side % MULTIPLE for side in x.shape[2:]):
            raise ValueError(
                f"input: sides must divide by {MULTIPLE}; found {tuple(x.shape[2:])}. Cut cubes whose sides divide by "
                f"{MULTIPLE}, or set pad_to_multiple=True."
            )
