"""What a transform refuses: settings out of their range, and volumes that it cannot work on."""

import math

import numpy as np
import torch

from medgenesis.errors import IntensityRangeError, VolumeError

_TOLERANCE = 1e-3  # of the range's width: the rounding of a resampling or of half precision is no other intensity scale


def check_probability(name: str, value: float) -> float:
    """Return a probability, or say what is wrong with it."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: must be a probability in [0, 1]; found {value}. Give 1 to transform each cube.")
    return float(value)


def check_fractions(name: str, value: tuple[float, float]) -> tuple[float, float]:
    """Return a (least, greatest) pair of fractions of a side, or say what is wrong with it."""
    low, high = value
    if not 0 <= low <= high < 1:
        raise ValueError(
            f"{name}: must be two rising fractions of a side in [0, 1); found {tuple(value)}. Give (0.1, 0.2) for "
            "example."
        )
    return float(low), float(high)


def check_count(name: str, value: int, least: int = 1) -> int:
    """Return a whole number, or say what is wrong with it."""
    if not float(value).is_integer() or value < least:
        raise ValueError(f"{name}: must be a whole number of at least {least}; found {value}. Give a larger one.")
    return int(value)


def check_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """Return an intensity range as floats, or say what is wrong with it."""
    low, high = value_range
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(
            f"value_range: must be two finite numbers, low < high; found {tuple(value_range)}. Give the range of the "
            "scaled data."
        )
    return float(low), float(high)


def _extent(batch: torch.Tensor) -> tuple[float, float]:
    """Least and greatest value, NaN if there is one."""
    if batch.device.type == "cpu" and batch.dtype in (torch.float32, torch.float64):
        values = batch.numpy()  # takes half of torch's time
        return float(values.min()), float(values.max())
    return tuple(float(bound) for bound in torch.aminmax(batch))


def check_batch(batch: torch.Tensor, axes: str, value_range: tuple[float, float] | None) -> None:
    """Refuse what no transform here can work on.

    Args:
        batch: (B, C, *spatial).
        axes: how the caller's volume is laid out, "C" or "B, C", for the message.
        value_range: where the intensities must lie; None where they do not matter.
    """
    shape = tuple(batch.shape if axes == "B, C" else batch.shape[1:])
    if batch.ndim not in (4, 5):
        raise VolumeError(
            f"volume: must be ({axes}, H, W) or ({axes}, X, Y, Z); found shape {shape}. Add the channel axis first "
            "(EnsureChannelFirst); a batch goes to the Batched… form."
        )
    if batch.numel() == 0:
        raise VolumeError(f"volume: must hold at least one voxel; found shape {shape}. Leave it out.")
    if not batch.is_floating_point():
        raise VolumeError(
            f"volume: must be floating point; found {batch.dtype}. Convert and scale it (ScaleIntensityRange)."
        )
    least, greatest = _extent(batch)
    if not (math.isfinite(least) and math.isfinite(greatest)):
        raise VolumeError("volume: must be finite; found NaN or infinity. Repair it before, or leave it out.")
    if value_range is None:
        return
    low, high = value_range
    slack = _TOLERANCE * (high - low)
    if least < low - slack or greatest > high + slack:
        raise IntensityRangeError(
            f"volume: must lie in value_range=({low:g}, {high:g}); found {least:g} to {greatest:g}. Scale it first "
            "(ScaleIntensityRange with clip=True), give the transform the value_range that the data have, or have each "
            "volume rescaled by its own least and greatest value (rescale=True)."
        )


def rescaled(batch: torch.Tensor, value_range: tuple[float, float]) -> torch.Tensor:
    """Bring each cube's own least .. greatest value linearly to the range; a constant cube becomes its lower end."""
    low, high = value_range
    wide = batch.to(torch.promote_types(batch.dtype, torch.float32))  # a half cannot hold every spread of halves
    least, greatest = torch.aminmax(wide.flatten(1), dim=1)
    width = torch.where(greatest > least, greatest - least, torch.ones_like(least))
    each = (-1,) + (1,) * (batch.ndim - 1)
    fraction = (wide - least.view(each)) / width.view(each)
    return (fraction * (high - low) + low).clamp_(low, high).to(batch.dtype)
