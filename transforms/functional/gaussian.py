"""Gaussian smoothing of a batch, each cube by a standard deviation of its own."""

import numpy as np
import torch

_TRUNCATE = 4.0  # standard deviations at which the Gaussian ends


def smooth(volume: torch.Tensor, sigmas: np.ndarray) -> torch.Tensor:
    """Smooth each cube along all spatial axes; beyond its border a volume goes on with the values of the faces.

    Args:
        volume: (B, C, *spatial), floating point; halves are computed in single precision.
        sigmas: (B,) standard deviations, voxels, the same for all axes.

    Returns:
        A new tensor of the same shape and dtype.
    """
    radii = (_TRUNCATE * sigmas + 0.5).astype(np.int64)[:, None]
    reach = int(radii.max())
    places = np.arange(-reach, reach + 1)
    weights = np.where(abs(places) <= radii, np.exp(-0.5 * (places / sigmas[:, None]) ** 2), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    smoothed = volume.to(torch.promote_types(volume.dtype, torch.float32))
    factors = torch.from_numpy(weights).to(smoothed).view(len(sigmas), -1, *[1] * (volume.ndim - 1)).unbind(1)
    for axis in range(2, volume.ndim):
        side = volume.shape[axis]
        beyond = torch.arange(-reach, side + reach, device=volume.device).clamp_(0, side - 1)
        padded, smoothed = smoothed.index_select(axis, beyond), torch.zeros_like(smoothed)
        for place, factor in enumerate(factors):
            smoothed.addcmul_(padded.narrow(axis, place, side), factor)
    return smoothed.to(volume.dtype)
