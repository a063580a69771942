"""Gaussian blur of random width."""

from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.transforms.base import BatchedVolumeTransform, RandVolumeTransform, RandVolumeTransformd
from medgenesis.transforms.functional.gaussian import smooth
from medgenesis.transforms.params import Generator, Params, check_shape


@dataclass(frozen=True, eq=False)
class BlurParams(Params):
    """Widths drawn for a batch.

    Attributes:
        sigmas: (B,) standard deviations, voxels.
    """

    sigmas: np.ndarray

    def expand(self) -> np.ndarray:
        """The standard deviations (B,)."""
        return self.sigmas


class RandBlur(RandVolumeTransform):
    """Blur by a Gaussian of random width, the same along all spatial axes; each channel by itself.

    The Gaussian ends at 4 standard deviations; beyond its border a volume goes on with the values of the faces.

    Args:
        sigma: least and greatest standard deviation, voxels; uniform between.
        prob: probability that anything is done.

    Raises:
        ValueError: a setting out of its range.
        VolumeError: (on call) not (C, *spatial), empty, not floating point, or not finite.

    References:
        Hosseinzadeh Taher et al., CAiD, MIDL 2022, and Adam, DART 2023 (arXiv 2309.15358): their blur.

    Notes:
        Unlike in MONAI's RandGaussianSmooth, one width serves all axes. The published blur approaches the Gaussian by
        repeated boxes on 8 bits. A standard deviation below 1/8 changes nothing.
    """

    params: BlurParams

    def __init__(self, sigma: tuple[float, float] = (0.1, 2.0), *, prob: float = 0.5) -> None:
        super().__init__(prob)
        if not 0 < sigma[0] <= sigma[1] < np.inf:
            raise ValueError(
                f"sigma: must be two rising standard deviations above 0, in voxels; found {tuple(sigma)}. Give (0.5, "
                "1.0) for example."
            )
        self.sigma = tuple(sigma)

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> BlurParams:
        low, high = self.sigma
        return BlurParams(low + rng.random(shape[0]) * (high - low))

    def apply(self, volume: torch.Tensor, params: BlurParams) -> torch.Tensor:
        check_shape(params, volume, len(params.sigmas), tuple(volume.shape[2:]))
        return smooth(volume, params.sigmas)


class RandBlurd(RandVolumeTransformd):
    """Dictionary form of `RandBlur`; the same width for all keys."""

    array = RandBlur


class BatchedBlur(BatchedVolumeTransform):
    """Batched form of `RandBlur`."""

    array = RandBlur
    params: BlurParams
