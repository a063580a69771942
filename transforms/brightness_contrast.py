"""Brightness and contrast: colour jitter, as far as grey images know it."""

from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.transforms.base import BatchedVolumeTransform, RandVolumeTransform, RandVolumeTransformd
from medgenesis.transforms.params import Generator, Params, check_shape


@dataclass(frozen=True, eq=False)
class BrightnessContrastParams(Params):
    """Factors drawn for a batch.

    Attributes:
        brightness: (B,) factors.
        contrast: (B,) factors.
        contrast_first: (B,) bool, the order.
    """

    brightness: np.ndarray
    contrast: np.ndarray
    contrast_first: np.ndarray

    def expand(self) -> tuple[np.ndarray, np.ndarray]:
        """The two steps in their order: factors (B, 2), and which of them are contrast, bool (B, 2)."""
        order = np.stack([self.contrast_first, ~self.contrast_first], axis=1)
        return np.where(order, self.contrast[:, None], self.brightness[:, None]), order


class RandBrightnessContrast(RandVolumeTransform):
    """Scale intensities from black (brightness) and from the volume's own mean (contrast), in random order.

    Black is the lower end of `value_range`; the mean is that of all voxels and channels when its turn comes. After
    each of the two, what lies beyond the range becomes its ends.

    Args:
        brightness: least and greatest factor; uniform between.
        contrast: least and greatest factor; uniform between.
        value_range: intensities (low, high) of the data.
        rescale: bring each volume's own least .. greatest value to `value_range`, always, instead of refusing what
            lies outside.
        prob: probability that anything is done.

    Raises:
        ValueError: a setting out of its range.
        VolumeError: (on call) not (C, *spatial), empty, not floating point, or not finite.
        IntensityRangeError: (on call) voxels outside `value_range` by more than 1e-3 of its width.

    References:
        Hosseinzadeh Taher et al., CAiD, MIDL 2022, and Adam, DART 2023 (arXiv 2309.15358): colour jitter.

    Notes:
        The published jitter changes saturation and hue too, which a grey image has not. It works on 8 bits and rounds
        the mean; here nothing is rounded.
    """

    params: BrightnessContrastParams

    def __init__(
        self,
        brightness: tuple[float, float] = (0.6, 1.4),
        contrast: tuple[float, float] = (0.6, 1.4),
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        rescale: bool = False,
        prob: float = 0.8,
    ) -> None:
        super().__init__(prob, value_range, rescale)
        for name, (low, high) in (("brightness", brightness), ("contrast", contrast)):
            if not 0 <= low <= high < np.inf:
                raise ValueError(
                    f"{name}: must be two rising factors of at least 0; found {(low, high)}. Give (0.8, 1.2) for "
                    "example."
                )
        self.brightness, self.contrast = tuple(brightness), tuple(contrast)

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> BrightnessContrastParams:
        factors = (low + rng.random(shape[0]) * (high - low) for low, high in (self.brightness, self.contrast))
        return BrightnessContrastParams(*factors, rng.random(shape[0]) < 0.5)

    def apply(self, volume: torch.Tensor, params: BrightnessContrastParams) -> torch.Tensor:
        check_shape(params, volume, len(params.brightness), tuple(volume.shape[2:]))
        low, high = self.value_range
        changed = volume.to(torch.promote_types(volume.dtype, torch.float32)).contiguous()
        each = (-1, *[1] * (volume.ndim - 1))
        for factors, contrast in zip(*(steps.T for steps in params.expand()), strict=True):
            contrast = torch.from_numpy(contrast).to(volume.device)
            fixed = torch.where(contrast, changed.flatten(1).mean(1), changed.new_tensor(low)).view(each)
            factor = torch.from_numpy(factors).to(changed).view(each)
            changed = torch.addcmul(fixed, changed - fixed, factor).clamp_(low, high)
        return changed.to(volume.dtype)


class RandBrightnessContrastd(RandVolumeTransformd):
    """Dictionary form of `RandBrightnessContrast`; the same factors for all keys, each scaled from its own mean."""

    array = RandBrightnessContrast


class BatchedBrightnessContrast(BatchedVolumeTransform):
    """Batched form of `RandBrightnessContrast`."""

    array = RandBrightnessContrast
    params: BrightnessContrastParams
