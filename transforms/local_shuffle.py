"""Local shuffle: the voxels of many small windows change places."""

from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.transforms.base import BatchedVolumeTransform, RandVolumeTransform, RandVolumeTransformd
from medgenesis.transforms.checks import check_count
from medgenesis.transforms.functional.blocks import whole_voxels
from medgenesis.transforms.functional.windows import Windows, expand_windows, shuffle_voxels
from medgenesis.transforms.params import Generator, Params, check_shape, draw_seeds


@dataclass(frozen=True, eq=False)
class LocalShuffleParams(Params):
    """Windows drawn for a batch, as the seeds that they are hashed from.

    Attributes:
        seeds: (B,) int64.
        spatial_shape: the cubes' sides, voxels.
        windows: how many a cube.
        max_sides: greatest side of a window on each axis, voxels.
    """

    seeds: np.ndarray
    spatial_shape: tuple[int, ...]
    windows: int
    max_sides: tuple[int, ...]

    def expand(self) -> list[Windows]:
        """Each cube's windows and permutations."""
        return [expand_windows(seed, self.spatial_shape, self.windows, self.max_sides) for seed in self.seeds.tolist()]


class RandLocalShuffle(RandVolumeTransform):
    """Permute the voxels inside many small windows at random places; all channels alike.

    Every window reads the volume as it came in; where windows overlap, the later one wins.

    Args:
        windows: how many.
        max_side_fraction: a window's side is uniform on 1 .. max(1, floor(side * max_side_fraction)) voxels.
        prob: probability that anything is done.

    Raises:
        VolumeError: (on call) not (C, *spatial), empty, not floating point, or not finite.

    References:
        Zhou et al., Models Genesis, Medical Image Analysis 2021, arXiv 2004.07882, section 3.2.

    Notes:
        The published code shuffles the first channel only, and fails where a side is shorter than 10 voxels; here such
        a side has windows of one voxel.
    """

    params: LocalShuffleParams

    def __init__(self, windows: int = 10_000, max_side_fraction: float = 0.1, *, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.windows = check_count("windows", windows)
        if not 0 < max_side_fraction <= 1:
            raise ValueError(
                f"max_side_fraction: must be a fraction of a side in (0, 1]; found {max_side_fraction}. Give 0.1 for "
                "example."
            )
        self.max_side_fraction = float(max_side_fraction)

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> LocalShuffleParams:
        sides = np.maximum(1, whole_voxels(np.array(shape[2:]), self.max_side_fraction))
        seeds = draw_seeds(rng, shape[0])
        return LocalShuffleParams(seeds, tuple(shape[2:]), self.windows, tuple(sides.tolist()))

    def apply(self, volume: torch.Tensor, params: LocalShuffleParams) -> torch.Tensor:
        check_shape(params, volume, len(params.seeds), params.spatial_shape)
        return shuffle_voxels(volume, params.seeds, params.windows, params.max_sides)


class RandLocalShuffled(RandVolumeTransformd):
    """Dictionary form of `RandLocalShuffle`; the same windows and permutations for all keys."""

    array = RandLocalShuffle


class BatchedLocalShuffle(BatchedVolumeTransform):
    """Batched form of `RandLocalShuffle`."""

    array = RandLocalShuffle
    params: LocalShuffleParams
