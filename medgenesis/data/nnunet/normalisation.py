"""nnU-Net's normalisation of intensities, channel by channel, as the plans say."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy.ndimage import binary_fill_holes

from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name

_LEAST = 1e-8  # of a standard deviation


class NormaliseAsPlannedd(MapTransform):
    """Normalise each channel by its scheme.

    ==========================  ======================================================================
    `CTNormalization`           clip to two percentiles of the foreground of all CT, then their z-score
    `ZScoreNormalization`       z-score of the channel; with `use_mask`, of where any channel is not zero,
                                holes filled, and all else stays as it is
    `RescaleTo01Normalization`  from the channel's own least and greatest value
    `RGBTo01Normalization`      from 0 to 255
    `NoNormalization`           as it is
    ==========================  ======================================================================

    Args:
        keys: keys of the images, (C, *spatial), cropped to where they are not zero.
        channels: of the plan, see `plan_of`.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        VolumeError: with the file's name: another number of channels, or a constant channel.

    References:
        Isensee et al., nnU-Net, Nature Methods 18, 2021.
    """

    def __init__(
        self, keys: KeysCollection, channels: Sequence[Mapping[str, Any]], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels = [dict(channel) for channel in channels]

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        normalised = dict(data)
        for key in self.key_iterator(normalised):
            normalised[key] = self._normalise(normalised[key])
        return normalised

    def _normalise(self, volume: torch.Tensor) -> torch.Tensor:
        name = volume_name(volume)
        check_planned_channels(volume, self.channels)
        plain = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
        if float(plain.min()) == float(plain.max()):
            raise VolumeError(f"{name}: voxels must differ; found one value in all. Leave the file out.")
        mask = not_zero(plain) if any(channel["use_mask"] for channel in self.channels) else None
        done = [_by_scheme(one, channel, mask, name) for one, channel in zip(plain, self.channels, strict=True)]
        result = torch.stack(done)
        return result.as_subclass(MetaTensor).copy_meta_from(volume) if isinstance(volume, MetaTensor) else result


def check_planned_channels(volume: torch.Tensor, channels: Sequence[Mapping[str, Any]]) -> None:
    """Raise VolumeError, with the file's name, where a volume (C, *spatial) has not the channels of the plan."""
    if len(volume) != len(channels):
        names = ", ".join(channel["name"] for channel in channels)
        raise VolumeError(
            f"{volume_name(volume)}: must have the channels of the plans, {len(channels)} ({names}); found "
            f"{len(volume)}. Give the files of all channels (CASE_0000, CASE_0001, …), in their order."
        )


def not_zero(volume: torch.Tensor) -> torch.Tensor:
    """Where any channel of (C, *spatial) is not zero, holes filled: bool (*spatial)."""
    return torch.from_numpy(binary_fill_holes((volume != 0).any(dim=0).numpy(force=True)))


def _by_scheme(values: torch.Tensor, channel: Mapping[str, Any], mask: torch.Tensor | None, name: str) -> torch.Tensor:
    scheme = channel["scheme"]
    if scheme == "CTNormalization":
        said = channel["statistics"]
        clipped = values.clamp(said["percentile_00_5"], said["percentile_99_5"])
        return (clipped - said["mean"]) / max(said["std"], _LEAST)
    if scheme == "ZScoreNormalization":
        if not channel["use_mask"]:
            return _z_score(values, values)
        return torch.where(mask, _z_score(values, values[mask]), values)
    if scheme == "RescaleTo01Normalization":
        above = values - values.min()
        return above / above.max().clamp(min=_LEAST)
    if scheme == "RGBTo01Normalization":
        if values.min() < 0 or values.max() > 255:
            raise VolumeError(
                f"{name}: values must be from 0 to 255 for {scheme}; found {float(values.min()):g} to "
                f"{float(values.max()):g}. Name the channel otherwise in dataset.json, and plan anew."
            )
        return values / 255
    return values


def _z_score(values: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
    # in double: nnU-Net sums pairs of float32, which torch does not promise
    spread, mean = torch.std_mean(of.double(), correction=0)
    return ((values - mean) / spread.clamp(min=_LEAST)).float()
