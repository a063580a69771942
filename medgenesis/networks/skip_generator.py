"""An hourglass with skip branches that makes an image of noise: the prior of a deep image prior, 2D and 3D."""

import torch
from torch import Tensor, nn

CHANNELS, KERNELS = (16, 32, 64, 128, 128, 128), (7, 7, 5, 5, 3, 3)
NOISE_CHANNELS, _SKIP_CHANNELS = 32, 4
_SLOPE = 0.2


class SkipGenerator(nn.Module):
    """Noise (B, 32, *spatial) -> (B, out_channels, *spatial), without a last nonlinearity.

    Args:
        out_channels: of the image.
        dims: spatial axes, 2 or 3.
        scales: how often the sides are halved, 1 to 6; they must be multiples of 2 ** scales.

    Raises:
        ValueError: another number of axes or scales.

    References:
        Ulyanov et al., Deep image prior, CVPR 2018 (arXiv 1711.10925). Channels, kernels and the place of the average
        pooling are those of Anton et al., J. Imaging 8(12):320, 2022: 2 606 763 weights in 2D with 6 scales.

    Notes:
        Volumes have kernels of 3 throughout: of 7 they would have 343 weights a pair of channels.
    """

    def __init__(self, out_channels: int = 3, dims: int = 2, scales: int = 6) -> None:
        super().__init__()
        if dims not in (2, 3) or not 1 <= scales <= len(CHANNELS):
            raise ValueError(
                f"dims, scales: must be 2 or 3, and 1 to {len(CHANNELS)}; found {dims} and {scales}. Correct them."
            )
        inner: _Scale | None = None
        for place in reversed(range(scales)):
            before = CHANNELS[place - 1] if place else NOISE_CHANNELS
            inner = _Scale(dims, before, CHANNELS[place], KERNELS[place] if dims == 2 else 3, inner)
        self.scales, self.last = inner, _conv(dims, CHANNELS[0], out_channels, 1)

    def forward(self, noise: Tensor) -> Tensor:
        return self.last(self.scales(noise))


class _Scale(nn.Module):
    """One scale around the next one: a thin skip branch beside half the resolution."""

    def __init__(self, dims: int, before: int, own: int, kernel: int, inner: "_Scale | None") -> None:
        super().__init__()
        self.own = own
        self.skip = nn.Sequential(_conv(dims, before, _SKIP_CHANNELS, 1), *_normal(dims, _SKIP_CHANNELS))
        pool = (nn.AvgPool2d if dims == 2 else nn.AvgPool3d)(2)
        steps = [_conv(dims, before, own, kernel), pool, *_normal(dims, own)]
        self.down = nn.Sequential(*steps, _conv(dims, own, own, kernel), *_normal(dims, own))
        self.inner = inner
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        joined = _SKIP_CHANNELS + (own if inner is None else inner.own)
        steps = [_batch_norm(dims, joined), _conv(dims, joined, own, kernel), *_normal(dims, own)]
        self.merge = nn.Sequential(*steps, _conv(dims, own, own, 1), *_normal(dims, own))

    def forward(self, x: Tensor) -> Tensor:
        deep = self.down(x)
        deep = deep if self.inner is None else self.inner(deep)
        return self.merge(torch.cat([self.skip(x), self.up(deep)], 1))


def _conv(dims: int, before: int, after: int, kernel: int) -> nn.Module:
    return (nn.Conv2d if dims == 2 else nn.Conv3d)(before, after, kernel, padding=kernel // 2)


def _batch_norm(dims: int, channels: int) -> nn.Module:
    return (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(channels)


def _normal(dims: int, channels: int) -> list[nn.Module]:
    return [_batch_norm(dims, channels), nn.LeakyReLU(_SLOPE)]
