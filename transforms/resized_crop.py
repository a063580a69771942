"""Random resized crop: a part of random size and proportions, brought to one size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.errors import VolumeError
from medgenesis.transforms.base import RandVolumeTransformd
from medgenesis.transforms.checks import check_count
from medgenesis.transforms.cropping import BatchedCroppingTransform, RandCroppingTransform
from medgenesis.transforms.functional.crops import draw_boxes, resized_crops
from medgenesis.transforms.params import Generator, Params, check_shape

_TRIES = 10


@dataclass(frozen=True, eq=False)
class ResizedCropParams(Params):
    """Boxes drawn for a batch.

    Attributes:
        starts: (B, n) int64 first voxels.
        sides: (B, n) int64, voxels.
        spatial_shape: the cubes' sides, voxels.
    """

    starts: np.ndarray
    sides: np.ndarray
    spatial_shape: tuple[int, ...]

    def expand(self) -> np.ndarray:
        """The boxes (B, 2, n): first voxel, and one past the last."""
        return np.stack([self.starts, self.starts + self.sides], axis=1)


class RandResizedCrop(RandCroppingTransform):
    """Cut a box of random size and proportions, and resize it linearly; all channels alike.

    The box covers a share of the voxels that is uniform in `scale`, and its ratio of width to height has a logarithm
    uniform in `ratio`. If none of ten such boxes fits, the largest one in the middle whose ratio is allowed is taken.
    Where the box is larger than the result, it is averaged (antialiasing).

    Args:
        size: side of the result, or a side for each axis, pixels.
        scale: least and greatest share of the voxels.
        ratio: least and greatest ratio of width to height, in pixels. In a volume: of each side to the one before.
        least_side: of the volume, pixels; what is smaller is refused.

    Raises:
        ValueError: a setting out of its range.
        VolumeError: (on call) not (C, *spatial), empty, not floating point, not finite, of another number of spatial
            axes than `size`, or smaller than `least_side`.

    References:
        Hosseinzadeh Taher et al., CAiD, MIDL 2022, and Adam, DART 2023 (arXiv 2309.15358): their first augmentation.

    Notes:
        A MetaTensor's affine follows, as with MONAI's SpatialCrop and Resize; the crop is not among
        `applied_operations`. Published programs round to 8 bits after each step; here nothing is rounded.
    """

    params: ResizedCropParams

    def __init__(
        self,
        size: int | Sequence[int] = 224,
        scale: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        *,
        least_side: int = 1,
    ) -> None:
        super().__init__()
        self.least_side = check_count("least_side", least_side)
        several = not isinstance(size, (int, np.integer, float))
        self.size = tuple(check_count("size", side) for side in size) if several else check_count("size", size)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(
                f"scale: must be two rising shares in (0, 1]; found {tuple(scale)}. Give (0.5, 1.0) for example."
            )
        if not 0 < ratio[0] <= ratio[1] < np.inf:
            raise ValueError(
                f"ratio: must be two rising ratios above 0; found {tuple(ratio)}. Give (0.75, 1.33) for example."
            )
        self.scale, self.ratio = (float(scale[0]), float(scale[1])), (float(ratio[0]), float(ratio[1]))

    def _sizes(self, rank: int) -> tuple[int, ...]:
        sizes = self.size if isinstance(self.size, tuple) else (self.size,) * rank
        if len(sizes) != rank:
            raise VolumeError(
                f"volume: must have one spatial axis for each of size={sizes}; found {rank}. Give size one side for "
                "each axis."
            )
        return sizes

    def checked(self, batch: torch.Tensor, axes: str) -> torch.Tensor:
        batch = super().checked(batch, axes)
        self._sizes(batch.ndim - 2)
        if min(batch.shape[2:]) < self.least_side:
            raise VolumeError(
                f"volume: each side must have at least {self.least_side} voxels; found {tuple(batch.shape[2:])}. Leave "
                "it out, or lower least_side."
            )
        return batch

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> ResizedCropParams:
        sides = np.array(shape[2:])
        tries = rng.random((shape[0], _TRIES, len(sides)))
        boxes = draw_boxes(tries, rng.random((shape[0], len(sides))), sides, self.scale, self.ratio)
        return ResizedCropParams(*boxes, tuple(shape[2:]))

    def apply(self, volume: torch.Tensor, params: ResizedCropParams) -> torch.Tensor:
        """The kernel: (B, C, *spatial) -> (B, C, *size)."""
        check_shape(params, volume, len(params.starts), params.spatial_shape)
        return resized_crops(volume, params.starts, params.sides, self._sizes(volume.ndim - 2))

    def placed(self, params: ResizedCropParams) -> tuple[np.ndarray, np.ndarray]:
        return params.starts, params.sides / np.array(self._sizes(len(params.spatial_shape)))


class RandResizedCropd(RandVolumeTransformd):
    """Dictionary form of `RandResizedCrop`; the same box for all keys, resized linearly: not for label maps."""

    array = RandResizedCrop


class BatchedResizedCrop(BatchedCroppingTransform):
    """Batched form of `RandResizedCrop`: (B, C, *spatial) -> (B, C, *size)."""

    array = RandResizedCrop
    params: ResizedCropParams
