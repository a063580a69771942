"""Anatomy cell: one cell of a grid over the body, coarse grids first; what Adam takes for an instance."""

import functools
import logging
from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.errors import VolumeError
from medgenesis.transforms.base import RandVolumeTransformd
from medgenesis.transforms.checks import check_count
from medgenesis.transforms.cropping import BatchedCroppingTransform, RandCroppingTransform
from medgenesis.transforms.functional.crops import crop
from medgenesis.transforms.params import Generator, Params, check_shape

_logger = logging.getLogger(__name__)
_SMALL = 64  # a cell's side that Adam was never trained below, pixels


@dataclass(frozen=True, eq=False)
class AnatomyCellParams(Params):
    """Cells drawn for a batch.

    Attributes:
        starts: (B, n) int64, first voxel of the cell.
        counts: (n,) cells on each axis.
        spatial_shape: the cubes' sides, voxels.
    """

    starts: np.ndarray
    counts: tuple[int, ...]
    spatial_shape: tuple[int, ...]

    @property
    def sides(self) -> np.ndarray:
        """Sides (n,) of a cell, voxels."""
        return np.array(self.spatial_shape) // self.counts

    def expand(self) -> np.ndarray:
        """The cells as boxes (B, 2, n): first voxel, and one past the last."""
        return np.stack([self.starts, self.starts + self.sides], axis=1)


class RandAnatomyCell(RandCroppingTransform):
    """Take one cell of a grid, each alike in probability: (C, *spatial) -> (C, *cell); all channels alike.

    A cell's side is floor(side / cells on this axis); what remains at the far end is never taken.

    Args:
        level: 0 is the whole volume. On the grid "binary" level n has 2^n cells: each level bisects the cells of the
            one before, in an image left from right, then up from down, in turn; in a volume along X, Y, Z in turn.
        grid: "binary", as in the paper, or "square", n cells on each axis, as in the published program (its level 1 is
            the whole volume once more, its level 3 has 3 x 3 cells). In an image both agree at levels 0, 2 and 4.
        least_side: of a cell, pixels.
        anywhere: the cell lies at any whole voxel, not only where the grid has one; its size is that of the grid's.
            Training then sees what lies between the cells too, such as landmarks.

    Raises:
        ValueError: a setting out of its range.
        VolumeError: (on call) not (C, *spatial), empty, not floating point, not finite, or too small for the grid.

    References:
        Hosseinzadeh Taher et al., Towards foundation models learned from anatomy in medical imaging via
        self-supervision (Adam), DART 2023, arXiv 2309.15358, section 2. Cells off the grid: the windows of Adam-v2,
        CVPR 2024, which keep 50 pixels from the border where they can.

    Notes:
        Volumes, `least_side` and, in Adam's first version, `anywhere` are ours; a cell side below 64 is logged once. A
        MetaTensor's affine follows.
    """

    params: AnatomyCellParams

    def __init__(self, level: int, grid: str = "binary", *, least_side: int = 32, anywhere: bool = False) -> None:
        super().__init__()
        self.level, self.least_side = check_count("level", level, least=0), check_count("least_side", least_side)
        if grid not in ("binary", "square"):
            raise ValueError(f'grid: must be "binary" or "square"; found {grid!r}. Choose one of them.')
        self.grid, self.anywhere = grid, bool(anywhere)

    def counts(self, rank: int) -> tuple[int, ...]:
        """Cells on each of so many axes."""
        if self.grid == "square":
            return (max(1, self.level),) * rank
        bisections = [len(range(turn, self.level, rank)) for turn in range(rank)]
        return tuple(2**times for times in (bisections[::-1] if rank == 2 else bisections))

    def checked(self, batch: torch.Tensor, axes: str) -> torch.Tensor:
        batch = super().checked(batch, axes)
        shape, counts = tuple(batch.shape[2:]), self.counts(batch.ndim - 2)
        sides = tuple(side // count for side, count in zip(shape, counts, strict=True))
        if min(sides) < self.least_side:
            raise VolumeError(
                f"volume: a cell of level {self.level} must have sides of at least {self.least_side} voxels; found "
                f"{counts} cells of {sides} in a volume of {shape}. Choose a lower level, larger volumes, or a lower "
                "least_side."
            )
        if min(sides) < _SMALL and self.level:
            _warn_of_small_cells(self.level, sides)
        return batch

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> AnatomyCellParams:
        counts = self.counts(len(shape) - 2)
        sides = np.array(shape[2:]) // counts
        if self.anywhere:
            places, apart = np.array(shape[2:]) - sides + 1, 1
        else:
            places, apart = np.array(counts), sides
        starts = (rng.random((shape[0], len(counts))) * places).astype(np.int64) * apart
        return AnatomyCellParams(starts, counts, tuple(shape[2:]))

    def apply(self, volume: torch.Tensor, params: AnatomyCellParams) -> torch.Tensor:
        """The kernel: (B, C, *spatial) -> (B, C, *cell)."""
        check_shape(params, volume, len(params.starts), params.spatial_shape)
        starts, sides = self.placed(params)[0].tolist(), params.sides.tolist()
        return torch.stack([crop(cube, start, sides) for cube, start in zip(volume, starts, strict=True)])

    def placed(self, params: AnatomyCellParams) -> tuple[np.ndarray, np.ndarray]:
        return params.starts, np.ones(params.starts.shape)


@functools.cache
def _warn_of_small_cells(level: int, sides: tuple[int, ...]) -> None:
    _logger.warning("cells of level %d have sides of %s voxels: below %d little anatomy is seen", level, sides, _SMALL)


class RandAnatomyCelld(RandVolumeTransformd):
    """Dictionary form of `RandAnatomyCell`; the same cell for all keys."""

    array = RandAnatomyCell


class BatchedAnatomyCell(BatchedCroppingTransform):
    """Batched form of `RandAnatomyCell`: (B, C, *spatial) -> (B, C, *cell)."""

    array = RandAnatomyCell
    params: AnatomyCellParams
