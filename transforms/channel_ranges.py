"""Intensity ranges that differ between channels, or between cubes: z-scored data have no fixed one."""

from collections.abc import Sequence

import torch

from medgenesis.errors import VolumeError
from medgenesis.transforms.checks import check_range

UNIT = (0.0, 1.0)
PERCENTILES = (0.5, 99.5)
Ranges = tuple[tuple[float, float] | None, ...]


def checked_ranges(
    ranges: Sequence[Sequence[float] | None] | None, value_range: tuple[float, float] | None, rescale: bool
) -> Ranges | None:
    """The range of each channel, or None for no such ranges.

    Raises:
        ValueError: ranges beside another one, or one that is no two rising numbers.
    """
    if ranges is None:
        return None
    if rescale or value_range != UNIT or not ranges:
        raise ValueError(
            f"channel_ranges: must be one a channel, and the only range; found {len(ranges)}, with value_range "
            f"{value_range} and rescale {rescale}. Leave the other two out."
        )
    return tuple(None if one is None else check_range((one[0], one[1])) for one in ranges)


def extents(batch: torch.Tensor, ranges: Ranges) -> tuple[torch.Tensor, torch.Tensor]:
    """Least value and width of each cube's and channel's range, (B, C, 1, …), single precision at least; a width of 0
    becomes 1.

    Args:
        batch: (B, C, *spatial).
        ranges: (low, high) of each channel; None: the cube's own, between two percentiles (nearest rank), since single
            bright voxels reach far beyond tissue.

    Raises:
        VolumeError: another number of channels.
    """
    if len(ranges) != batch.shape[1]:
        raise VolumeError(
            f"channel_ranges: must be one a channel, {batch.shape[1]}; found {len(ranges)}. Give each channel its own."
        )
    values = batch.flatten(2).to(torch.promote_types(batch.dtype, torch.float32))  # a half cannot hold every width
    low, high = (_percentile(values, share) for share in PERCENTILES)
    for channel, one in enumerate(ranges):
        if one is not None:
            low[:, channel], high[:, channel] = one
    width = torch.where(high > low, high - low, torch.ones_like(low))
    each = (*batch.shape[:2], *(1,) * (batch.ndim - 2))
    return low.view(each), width.view(each)


def _percentile(values: torch.Tensor, share: float) -> torch.Tensor:
    return values.kthvalue(1 + round(share / 100 * (values.shape[2] - 1)), dim=2).values
