"""Whether the values of a CT can be Hounsfield units: an offset left on or taken off twice, or the sign turned."""

import math

import numpy as np
import torch

from medgenesis.errors import IntensityRangeError
from medgenesis.io.dicom_series import once

_LEAST_HU = -1100.0  # air with noise
_LEAST_TWICE = -2200.0  # the same with an offset of 1024 subtracted again
_NOISE = -50.0  # of air at an offset of 1024
_AIR, _TISSUE, _DENSE = -500.0, -300.0, 700.0  # air and most of lung are below; all tissue is above; of bone
_PADDINGS = 3  # values that one file pads with, at most
_SAMPLED = 1 << 20  # voxels that are counted in a share, at most


def check_hounsfield(volume: torch.Tensor, name: str, least: float, most: float) -> None:
    """Refuse what is no HU, and warn, once for each file, of what hardly is.

    Args:
        volume: (C, *spatial), not constant.
        name: of the file, for messages.
        least: the least value.
        most: the greatest value.

    Raises:
        IntensityRangeError: no voxel below 0 but padding; much as dense as bone, and no air; much that is below
            air, and little where tissue is.
    """
    dense, below, multiplied = 0.0, 0.0, False
    if least >= 0 or has_offset(volume, least):
        why = "no voxel is below 0 HU, as air, lung and fat are (padding does not count)"
        eight_bits = "Values of 8 bits: 'custom' with a_min 0 and a_max 255. " if least >= 0 and most <= 255 else ""
        remedy = f"{eight_bits}A label map: leave it out. A CT: subtract the offset that it is stored with (often 1024)"
    elif (dense := dense_share(volume, least)) > 0.3:
        why = (
            f"{dense:.0%} of the voxels are above {_DENSE:g} HU, as dense bone is, and few below {_AIR:g} HU, as air is"
        )
        remedy = "A CT: subtract the offset that it is stored with, or multiply by -1 where air is bright"
    elif (below := share_below_air(volume)) > 0.2:
        why = f"{below:.0%} of the voxels are below {_LEAST_HU:g} HU, less than air (padding does not count)"
        if multiplied := _is_multiplied(volume):
            remedy = "A CT: divide by what its HU were multiplied by (10 perhaps)"
        else:
            remedy = "A CT: add the offset that was subtracted once too often (often 1024)"
    else:
        if dense > 0.2:
            once(f"{name}: {dense:.0%} of the voxels are above {_DENSE:g} HU: are these HU, without an offset?")
        if below > 0.05:
            once(f"{name}: {below:.0%} of the voxels are below {_LEAST_HU:g} HU: was an offset subtracted twice?")
        if least == -128 and most <= 127:
            once(f"{name}: values from {least:g} to {most:g}, as of 8 bits with a sign: are these HU?")
        return
    if _has_negative_tissue(volume, least) and not multiplied:
        remedy += "; if it is in HU all the same, choose 'custom' with a_min -1000 and a_max 1000"
    raise IntensityRangeError(
        f"{name}: values must fit preset 'ct', [-1000, 1000]; found {least:g} to {most:g}, {why}. MR or PET: set "
        f"`intensity` to 'mri_percentile'. {remedy}."
    )


def has_offset(volume: torch.Tensor, least: float) -> bool:
    """Whether a CT is stored with an offset of about 1024, and only its padding (`least` below 0) lies below 0.

    Padding is the least value, and whatever is less than air can be. Of the rest next to nothing is below 0 then, and
    soft tissue, most of a body, lies where in HU only dense bone and metal do.
    """
    values = volume.numpy(force=True)
    below, count = _padding(values, least)
    if np.count_nonzero(values > _DENSE) <= 0.05 * count:
        return False
    return bool(np.count_nonzero(values < _NOISE) - below < 0.02 * count)


def dense_share(volume: torch.Tensor, least: float) -> float:
    """The share of what is no padding that is above 700 HU; 0 where 5 % or more is below -500 HU, or 20 % not above.

    It is large with the sign turned, air at 1000, and with an offset at which air is still below 0 (939): 30 to 64 % of
    real chest and abdominal CT. In HU it is 1 % of these, 17 % of their crops at most.
    """
    values = _sample(volume)
    below, count = _padding(values, least)
    dense = np.count_nonzero(values > _DENSE) / count
    return dense if dense > 0.2 and np.count_nonzero(values < _AIR) - below < 0.05 * count else 0.0


def share_below_air(volume: torch.Tensor) -> float:
    """The share of what is no padding that is below -1100 HU; 0 where 20 % or more is above -300 HU.

    Padding are here the three most frequent values below -1100 HU: of air, lung and fat with an offset that was
    subtracted twice enough other values remain. Of real CT and their crops 0.02 % at most are below, with 1024
    subtracted again 30 % at least (crops round lung nodules; 44 % of whole ones).
    """
    values = _sample(volume)
    low = _below_air(values)[1].sum()
    count = values.size - (np.count_nonzero(values < _LEAST_HU) - low)
    if np.count_nonzero(values > _TISSUE) >= 0.2 * count:
        return 0.0
    return float(low / max(count, 1))


def _below_air(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values below -1100 HU that are no padding, and how often each is there."""
    found, counts = np.unique(values[values < _LEAST_HU], return_counts=True)
    rest = np.sort(np.argsort(counts, kind="stable")[: max(0, found.size - _PADDINGS)])
    return found[rest], counts[rest]


def _is_multiplied(volume: torch.Tensor) -> bool:
    """Whether most of what is below -1100 HU is less than air with 1024 subtracted again."""
    found, counts = _below_air(_sample(volume))
    return bool(counts[found < _LEAST_TWICE].sum() > 0.5 * counts.sum())


def _has_negative_tissue(volume: torch.Tensor, least: float) -> bool:
    """Whether something below 0 is neither padding nor noise of air at an offset."""
    values = volume.numpy(force=True)
    return bool(((values < _NOISE) & (values > max(least, _LEAST_HU))).any())


def _padding(values: np.ndarray, least: float) -> tuple[int, int]:
    """How many values are padding, and how many are not, 1 at least."""
    below = np.count_nonzero(values <= max(least, _LEAST_HU))
    return below, max(values.size - below, 1)


def _sample(volume: torch.Tensor) -> np.ndarray:
    """Every n-th value along each axis (C, *spatial) but the channels'."""
    values = volume.numpy(force=True)
    axes = max(1, values.ndim - 1)
    every = slice(None, None, math.ceil((values.size / _SAMPLED) ** (1 / axes)))
    return values[(..., *[every] * axes)].ravel()
