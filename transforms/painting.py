"""In-painting fills a few inner blocks with noise; out-painting keeps a few large blocks and fills the rest."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.transforms.base import BatchedVolumeTransform, RandVolumeTransform, RandVolumeTransformd
from medgenesis.transforms.checks import check_count, check_fractions, check_probability
from medgenesis.transforms.functional.blocks import (
    block_mask,
    count_while,
    noise_volume,
    paint,
    place_blocks,
    whole_voxels,
)
from medgenesis.transforms.params import Generator, Params, check_shape, draw_seeds


@dataclass(frozen=True, eq=False)
class PaintParams(Params):
    """Blocks drawn for a batch, and the seeds of the noise in or around them.

    Attributes:
        blocks: (B, K, 2, n) int64 first voxel, and one past the last; blocks that were not drawn are empty.
        seeds: (B,) int64.
        spatial_shape: the cubes' sides, voxels.
    """

    blocks: np.ndarray
    seeds: np.ndarray
    spatial_shape: tuple[int, ...]

    def expand(self, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """What lies in a block, bool (B, *spatial), and noise: fractions of the range (B, channels, *spatial).

        In-painting fills the blocks of every channel with the noise of the first; out-painting fills the rest of each
        channel with its own.
        """
        noise = noise_volume(torch.from_numpy(self.seeds), channels, self.spatial_shape)
        return block_mask(torch.from_numpy(self.blocks), self.spatial_shape).numpy(), noise.numpy()


class _RandPaint(RandVolumeTransform):
    """What both have in common: a number of blocks, inside or outside of which there will be noise."""

    params: PaintParams
    inside: bool

    def __init__(
        self,
        blocks: int,
        p_continue: float,
        margin: int,
        value_range: tuple[float, float],
        rescale: bool,
        prob: float,
    ) -> None:
        super().__init__(prob, value_range, rescale)
        self.blocks = check_count("blocks", blocks)
        self.p_continue = check_probability("p_continue", p_continue)
        self.margin = check_count("margin", margin, least=0)

    @abstractmethod
    def _side_range(self, sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest side (n,) of a block in a cube with sides (n,), voxels."""

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> PaintParams:
        sides = np.array(shape[2:])
        certain = 0 if self.inside else 1  # where all outside becomes noise, something must stay
        counts = certain + count_while(rng.random((shape[0], self.blocks - certain)), self.p_continue)
        places = rng.random((shape[0], self.blocks, 2, len(sides)))
        blocks = place_blocks(places, counts, sides, self._side_range(sides), self.margin)
        return PaintParams(blocks, draw_seeds(rng, shape[0]), tuple(shape[2:]))

    def apply(self, volume: torch.Tensor, params: PaintParams) -> torch.Tensor:
        check_shape(params, volume, len(params.seeds), params.spatial_shape)
        return paint(volume, params.blocks, params.seeds, inside=self.inside, value_range=self.value_range)


class RandInPaint(_RandPaint):
    """Fill up to `blocks` inner blocks with uniform noise over the range, the same for all channels.

    Args:
        blocks: greatest number of blocks.
        p_continue: probability of going on, asked before each block, the first included.
        side_fraction: a block's side is uniform on floor(side * low) .. floor(side * high) voxels.
        margin: voxels between a block and the border.
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
        A block has at least one voxel, and the margin shrinks, on both sides alike, to what fits: the published code
        fails on sides shorter than 8 voxels. It also writes into its input; this does not.
    """

    inside = True

    def __init__(
        self,
        blocks: int = 5,
        p_continue: float = 0.95,
        *,
        side_fraction: tuple[float, float] = (1 / 6, 1 / 3),
        margin: int = 3,
        value_range: tuple[float, float] = (0.0, 1.0),
        rescale: bool = False,
        prob: float = 1.0,
    ) -> None:
        super().__init__(blocks, p_continue, margin, value_range, rescale, prob)
        self.side_fraction = check_fractions("side_fraction", side_fraction)

    def _side_range(self, sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return tuple(np.maximum(1, whole_voxels(sides, self.side_fraction)))


class RandOutPaint(_RandPaint):
    """Keep the inside of one to `blocks` blocks and fill the rest with uniform noise over the range.

    The noise is independent for each channel.

    Args:
        blocks: greatest number of blocks.
        p_continue: probability of going on, asked before each block but the first.
        removed_fraction: a block's side is the cube's less floor(side * low) .. floor(side * high) voxels, uniformly.
        margin: voxels between a block and the border.
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
        The margin shrinks, on both sides alike, to what fits: the published code fails on sides shorter than 14 voxels.
        A cube of one voxel is kept as it is.
    """

    inside = False

    def __init__(
        self,
        blocks: int = 5,
        p_continue: float = 0.95,
        *,
        removed_fraction: tuple[float, float] = (3 / 7, 4 / 7),
        margin: int = 3,
        value_range: tuple[float, float] = (0.0, 1.0),
        rescale: bool = False,
        prob: float = 1.0,
    ) -> None:
        super().__init__(blocks, p_continue, margin, value_range, rescale, prob)
        self.removed_fraction = check_fractions("removed_fraction", removed_fraction)

    def _side_range(self, sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        high, low = sides - whole_voxels(sides, self.removed_fraction)
        return low, high


class RandInPaintd(RandVolumeTransformd):
    """Dictionary form of `RandInPaint`; the same blocks and noise for all keys."""

    array = RandInPaint


class RandOutPaintd(RandVolumeTransformd):
    """Dictionary form of `RandOutPaint`; the same blocks and noise for all keys."""

    array = RandOutPaint


class BatchedInPaint(BatchedVolumeTransform):
    """Batched form of `RandInPaint`."""

    array = RandInPaint
    params: PaintParams


class BatchedOutPaint(BatchedVolumeTransform):
    """Batched form of `RandOutPaint`."""

    array = RandOutPaint
    params: PaintParams
