"""Intensity presets: voxel values of a modality scaled to [0, 1], the range that the pretext transforms work on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform

from medgenesis.data.arrays import as_tensor
from medgenesis.data.hounsfield import check_hounsfield
from medgenesis.errors import IntensityRangeError, VolumeError
from medgenesis.io.naming import volume_name

WINDOWS = {"ct": (-1000.0, 1000.0), "mri": (0.0, 4000.0), "xray": (0.0, 255.0)}
PRESETS = (*WINDOWS, "mri_percentile", "unit", "custom")
_LEAST_SPAN = 0.025  # of the window: 50 HU for `ct`; a CT of less is z-scored, already scaled, or empty
_MOST_SATURATED = 0.5


class ScaleIntensityPresetd(MapTransform):
    """Scale volumes to [0, 1] by a named preset, and refuse those that the preset would ruin.

    ====================  ==============================================================================
    `ct`                  clip to [-1000, 1000] HU
    `mri`                 clip to [0, 4000], as published; MR units differ by scanner: see `mri_percentile`
    `mri_percentile`      clip to two percentiles of each channel's non-zero voxels
    `unit`                values are in [0, 1] already; anything outside is an error
    `xray`                8-bit images, 0 to 255; anything outside is an error
    `custom`              clip to [`a_min`, `a_max`]
    ====================  ==============================================================================

    A record's own `intensity` (the name of a preset, or its arguments) goes before these settings, so that one list may
    mix modalities; it is used up.

    Args:
        keys: keys of the volumes, (C, *spatial); NumPy arrays become plain tensors.
        preset: one of the above.
        a_min: lower end of the `custom` window, in the volume's unit.
        a_max: upper end of the `custom` window.
        lower: lower percentile, 0 to 100.
        upper: upper percentile, 0 to 100.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        ValueError: unknown preset, or a window or percentiles not in ascending order.
        IntensityRangeError: the values do not fit the preset: z-scored or [0, 1] data given as HU (they span less
            than 2.5 % of the window), a CT that is not in HU (see `check_hounsfield`), more than half of the non-zero
            voxels above the `mri` window, more than 8 bits for `xray`, or values outside [0, 1] for `unit`.
        VolumeError: a constant volume, or a voxel that is NaN or infinite.

    References:
        Zhou et al., Models Genesis, arXiv 2004.07882, for `ct` and `mri`.
    """

    def __init__(
        self,
        keys: str | Sequence[str],
        preset: str = "ct",
        *,
        a_min: float | None = None,
        a_max: float | None = None,
        lower: float = 0.5,
        upper: float = 99.5,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if preset not in PRESETS:
            raise ValueError(f"preset: must be one of {', '.join(PRESETS)}; found {preset!r}. Choose one of them.")
        if preset == "custom" and (a_min is None or a_max is None or a_min >= a_max):
            raise ValueError(
                f"a_min, a_max: preset 'custom' needs `a_min` < `a_max`; found {a_min} and {a_max}. Give the range of "
                "the values."
            )
        if not 0 <= lower < upper <= 100:
            raise ValueError(
                f"lower, upper: must be rising percentiles from 0 to 100; found {lower} and {upper}. Give 0.5 and 99.5."
            )
        self.preset = preset
        self.window = WINDOWS.get(preset, (a_min, a_max))
        self.percentiles = (lower, upper)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        scaled = dict(data)
        own = scaled.pop("intensity", None)
        if own is not None:
            options = preset_options(own)
            return ScaleIntensityPresetd(self.keys, **options, allow_missing_keys=self.allow_missing_keys)(scaled)
        for key in self.key_iterator(scaled):
            scaled[key] = self._scale(as_tensor(scaled[key]))
        return scaled

    def _scale(self, volume: torch.Tensor) -> torch.Tensor:
        name = volume_name(volume)
        least, most = float(volume.min()), float(volume.max())  # NaN where a voxel is
        if not (math.isfinite(least) and math.isfinite(most)):
            raise VolumeError(
                f"{name}: voxels must be finite; found {least if math.isfinite(most) else most}. Replace them, by air "
                "for example, or leave the file out."
            )
        if least == most:
            raise VolumeError(
                f"{name}: voxels must differ; found {least:g} in every one, there is nothing to learn from. Leave the "
                "file out."
            )
        if self.preset == "unit":
            return _check_unit(volume, name, least, most)
        if self.preset == "mri_percentile":
            return self._scale_percentiles(volume, name)
        self._check_window(volume, name, least, most)
        return _scaled(volume, *self.window)

    def _scale_percentiles(self, volume: torch.Tensor, name: str) -> torch.Tensor:
        channels = []
        for channel in volume:
            values = channel[channel != 0].numpy(force=True)
            low, high = np.percentile(values, self.percentiles) if values.size else (0.0, 0.0)
            if low == high:
                low, high = min(0.0, low), max(0.0, high)  # a binary image: its only value against the zeros
            if low == high:
                raise VolumeError(
                    f"{name}: each channel must have values other than 0; found a channel that is zero everywhere. "
                    "Leave the file out."
                )
            channels.append(_scaled(channel, low, high))
        return torch.stack(channels)

    def _check_window(self, volume: torch.Tensor, name: str, least: float, most: float) -> None:
        low, high = self.window
        found = f"{name}: values must fit preset {self.preset!r}, [{low:g}, {high:g}]; found {least:g} to {most:g}"
        if min(most, high) - max(least, low) < _LEAST_SPAN * (high - low):
            raise IntensityRangeError(
                f"{found}, they would collapse to nearly one value. If they are z-scored or scaled, give the original "
                "values, or choose 'unit' for data in [0, 1], 'mri_percentile' for MR, or 'custom' with a_min, a_max."
            )
        if self.preset == "ct":
            check_hounsfield(volume, name, least, most)
        if self.preset == "xray" and (least < low or most > high):
            raise IntensityRangeError(
                f"{found}, as of an X-ray of more than 8 bits. Give its range by 'custom', with a_min 0 and a_max 4095 "
                "for 12 bits, or take each X-ray's own by 'mri_percentile'; a record's `intensity` is for that X-ray "
                "alone."
            )
        if self.preset == "mri" and most > high:  # a custom window may well leave out what is bright
            tissue = volume != 0
            saturated = float((volume > high).sum()) / float(tissue.sum())
            if saturated > _MOST_SATURATED:
                raise IntensityRangeError(
                    f"{found}, {saturated:.0%} of the non-zero voxels are above it. Choose 'mri_percentile' or "
                    "'custom'."
                )


def _scaled(volume: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """[low, high] becomes [0, 1], what lies outside its ends: MONAI's `ScaleIntensityRange`, in one copy."""
    scaled = volume - low
    plain = scaled.as_tensor() if isinstance(scaled, MetaTensor) else scaled
    plain.div_(high - low).clamp_(0, 1)
    return scaled


def preset_options(intensity: str | Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `ScaleIntensityPresetd` from the name of a preset, or from such arguments."""
    return {"preset": intensity} if isinstance(intensity, str) else dict(intensity)


def check_preset(intensity: str | Mapping[str, Any]) -> None:
    """Refuse what is neither the name of a preset nor arguments of `ScaleIntensityPresetd`.

    Raises:
        ValueError, TypeError: what is wrong with it.
    """
    if not isinstance(intensity, str) or intensity not in WINDOWS:  # the common case at once: lists are long
        ScaleIntensityPresetd("image", **preset_options(intensity))


def _check_unit(volume: torch.Tensor, name: str, least: float, most: float) -> torch.Tensor:
    tolerance = 1e-5  # rounding of float32 data that were scaled before
    if least < -tolerance or most > 1 + tolerance:
        raise IntensityRangeError(
            f"{name}: values must be in [0, 1] for preset 'unit'; found {least:g} to {most:g} (z-scored?). Choose the "
            "preset of the modality ('ct', 'mri', 'mri_percentile', 'custom')."
        )
    return volume.clamp(0, 1)
