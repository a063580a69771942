"""From an image of any size to what an encoder takes: one resized crop, windows of a volume, or slabs of it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.inferers import SlidingWindowSplitter
from torch import Tensor

from medgenesis.errors import VolumeError
from medgenesis.transforms.functional.slabs import take_slab

RULES = ("crop", "squash", "episode", "windows", "whole")
_EPISODE = 1.15  # of the study's few-shot images: both sides are resized to so much more, then cropped


@dataclass(frozen=True)
class Geometry:
    """How an image (C, *spatial) becomes a batch (n, channels, *size); its feature is the mean over the n.

    ==========  ================================================================================================
    `crop`      the shorter side resized to `size` (bicubic, antialiased), its middle cropped; of volumes likewise,
                trilinear
    `squash`    resized to `size`, whatever its proportions
    `episode`   as the study's few-shot images: both sides to 1.15 `size` (bilinear, antialiased), the middle cropped
    `windows`   volumes alone, at their own resolution: windows of `size` side by side, the far ones padded with 0
    `whole`     as it is
    ==========  ================================================================================================

    A 2D encoder sees a volume as `slabs`: so many places across `axis`, evenly spaced, each with its neighbouring
    slices as channels, resized by the rule.

    Args:
        rule: one of the above.
        slabs: of a volume, at most.
        axis: that slabs lie across.
    """

    rule: str
    slabs: int = 16
    axis: int = 2

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"geometry: must be one of {', '.join(RULES)}; found {self.rule!r}. Choose one of them.")

    def __call__(
        self, image: Tensor, size: tuple[int, ...], channels: int | None, dims: int | None, name: str
    ) -> Tensor:
        """The batch (n, channels, *size) of an image (C, X, Y) or (C, X, Y, Z); 2D images are turned to rows, columns.

        Args:
            image: in [0, 1].
            size: sides of the result.
            channels: of the result; None: those of the image.
            dims: of the encoder, None: those of the image.
            name: of the image, for messages.

        Raises:
            VolumeError: an image that the encoder cannot see: 2D for a 3D one, or of other channels.
        """
        batch = self.as_seen(image, channels, dims, name)
        if self.rule == "windows" and batch.ndim == 5:
            splitter = SlidingWindowSplitter(size, pad_value=0)
            return torch.cat([torch.as_tensor(window) for window, _ in splitter(batch)])
        return self._sized(batch, size)

    def as_seen(self, image: Tensor, channels: int | None, dims: int | None, name: str) -> Tensor:
        """The same before it is resized: (n, channels, *sides), n > 1 of a volume's slabs alone; see `__call__`."""
        plain = (image.as_tensor() if isinstance(image, MetaTensor) else image).float()
        if dims == 3 and plain.ndim == 3:
            raise VolumeError(f"{name}: must be a volume, for the encoder is 3D; found a 2D image. Give a 2D encoder.")
        if plain.ndim == 4 and dims == 2:
            return self._slabs(plain, channels or 1, name)
        if plain.ndim == 3:
            plain = plain.transpose(1, 2)  # as it is looked at: rows first
            plain = plain.expand(channels or -1, -1, -1) if len(plain) == 1 else plain  # grey: equal channels
        if channels is not None and len(plain) != channels:
            raise VolumeError(
                f"{name}: must have as many channels as the encoder, {channels}; found {len(plain)}. Give one of them, "
                "or another encoder."
            )
        return plain[None]

    def _slabs(self, volume: Tensor, channels: int, name: str) -> Tensor:
        if len(volume) != 1:
            raise VolumeError(
                f"{name}: must have one channel, to be seen as slabs; found {len(volume)}. Give one of them."
            )
        axis = 2 if volume.shape[3] == 1 else self.axis
        depth = volume.shape[1 + axis]
        count = min(depth, self.slabs)
        places = ((torch.arange(count) + 0.5) * depth / count).long().tolist()
        half = channels // 2
        slabs = [take_slab(volume[0], axis, range(z - half, z - half + channels)) for z in places]
        return torch.stack(slabs)

    def _sized(self, batch: Tensor, size: tuple[int, ...]) -> Tensor:
        sides = tuple(batch.shape[2:])
        if self.rule == "whole":
            return batch
        if self.rule in ("squash", "windows"):
            return resized(batch, size)
        if self.rule == "episode":
            return _middle(resized(batch, tuple(int(_EPISODE * side) for side in size), cubic=False), size)
        scale = max(wanted / side for wanted, side in zip(size, sides, strict=True))
        return _middle(resized(batch, tuple(max(1, round(scale * side)) for side in sides)), size)


def resized(batch: Tensor, size: tuple[int, ...], cubic: bool = True) -> Tensor:
    """A batch (n, C, *spatial) in [0, 1] at another size: 2D antialiased; 3D trilinear, averaged where it shrinks."""
    if tuple(batch.shape[2:]) == tuple(size):
        return batch
    if batch.ndim == 4:
        mode = "bicubic" if cubic else "bilinear"
        return F.interpolate(batch, size, mode=mode, antialias=True).clamp(0, 1)
    kernel = [max(1, side // wanted) for side, wanted in zip(batch.shape[2:], size, strict=True)]
    return F.interpolate(F.avg_pool3d(batch, kernel, ceil_mode=True), size, mode="trilinear")


def _middle(batch: Tensor, size: tuple[int, ...]) -> Tensor:
    """The middle; a side that is one short by rounding is resized."""
    if any(side < wanted for side, wanted in zip(batch.shape[2:], size, strict=True)):
        batch = resized(batch, tuple(max(pair) for pair in zip(batch.shape[2:], size, strict=True)))
    starts = [(side - wanted) // 2 for side, wanted in zip(batch.shape[2:], size, strict=True)]
    return batch[(..., *(slice(start, start + wanted) for start, wanted in zip(starts, size, strict=True)))]
