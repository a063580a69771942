"""Non-linear intensity: a volume seen through a random monotone curve."""

from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.transforms.base import BatchedVolumeTransform, RandVolumeTransform, RandVolumeTransformd
from medgenesis.transforms.checks import check_probability
from medgenesis.transforms.functional.curves import bezier_curve, bezier_map
from medgenesis.transforms.params import Generator, Params


@dataclass(frozen=True, eq=False)
class NonlinearIntensityParams(Params):
    """Curves drawn for a batch.

    Attributes:
        control_points: (B, 2, 2) inner points (x, y), fractions in [0, 1].
        decreasing: (B,) bool; dark and bright swap.
    """

    control_points: np.ndarray
    decreasing: np.ndarray

    def expand(self, segments: int = 256) -> np.ndarray:
        """Points (B, 2, segments + 1) of the curves: x, rising, and y, fractions of the range."""
        curves = zip(torch.from_numpy(self.control_points), self.decreasing.tolist(), strict=True)
        return np.stack([bezier_curve(points, falls, segments).numpy() for points, falls in curves])


class RandNonlinearIntensity(RandVolumeTransform):
    """Map intensities by a cubic Bezier curve with two random control points; all channels of a volume alike.

    Args:
        p_decreasing: probability of a falling curve.
        value_range: intensities (low, high) of the data.
        rescale: bring each volume's own least .. greatest value to `value_range`, always, instead of refusing what
            lies outside.
        prob: probability that anything is done.

    Raises:
        VolumeError: (on call) not (C, *spatial), empty, not floating point, or not finite.
        IntensityRangeError: (on call) voxels outside `value_range` by more than 1e-3 of its width.

    References:
        Zhou et al., Models Genesis, Medical Image Analysis 2021, arXiv 2004.07882, section 3.2.

    Notes:
        Voxels outside the range by less than the tolerance become the curve's ends.
    """

    params: NonlinearIntensityParams

    def __init__(
        self,
        p_decreasing: float = 0.5,
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        rescale: bool = False,
        prob: float = 1.0,
    ) -> None:
        super().__init__(prob, value_range, rescale)
        self.p_decreasing = check_probability("p_decreasing", p_decreasing)

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> NonlinearIntensityParams:
        return NonlinearIntensityParams(rng.random((shape[0], 2, 2)), rng.random(shape[0]) < self.p_decreasing)

    def apply(self, volume: torch.Tensor, params: NonlinearIntensityParams) -> torch.Tensor:
        return bezier_map(volume, params.control_points, params.decreasing, self.value_range)


class RandNonlinearIntensityd(RandVolumeTransformd):
    """Dictionary form of `RandNonlinearIntensity`; the same curve for all keys."""

    array = RandNonlinearIntensity


class BatchedNonlinearIntensity(BatchedVolumeTransform):
    """Batched form of `RandNonlinearIntensity`."""

    array = RandNonlinearIntensity
    params: NonlinearIntensityParams
