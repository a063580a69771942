"""Out-painting: everything but a few large blocks becomes noise."""

from dataclasses import dataclass

import numpy as np
import torch
from monai.config import KeysCollection

from medgenesis.transforms.base import (
    Generator,
    Params,
    RandVolumeTransform,
    RandVolumeTransformd,
    check_count,
    check_fractions,
    check_probability,
    check_shape,
    draw_seeds,
)
from medgenesis.transforms.functional.blocks import (
    block_mask,
    count_while,
    drop_blocks,
    noise_at,
    place_blocks,
    scale_noise,
    whole_voxels,
)


@dataclass(frozen=True, eq=False)
class OutPaintParams(Params):
    """Blocks drawn for a batch, and the seeds of the noise around them.

    Attributes:
        blocks: (B, K, 2, n) int64 first voxel, and one past the last; blocks that were not drawn are empty.
        seeds: (B,) int64.
        spatial_shape: the cubes' sides, voxels.
    """

    blocks: np.ndarray
    seeds: np.ndarray
    spatial_shape: tuple[int, ...]

    def expand(self, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """What is kept, bool (B, *spatial), and the noise elsewhere: fractions of the range (B, channels, *spatial)."""
        counters = np.arange(channels * int(np.prod(self.spatial_shape)))
        noise = np.stack([noise_at(seed, counters) for seed in self.seeds.tolist()])
        return block_mask(self.blocks, self.spatial_shape), noise.reshape(-1, channels, *self.spatial_shape)


class RandOutPaint(RandVolumeTransform):
    """Keep the inside of one to `blocks` blocks and fill the rest with uniform noise over the range.

    The noise is independent for each channel.

    Args:
        blocks: greatest number of blocks.
        p_continue: probability of going on, asked before each block but the first.
        removed_fraction: a block's side is the cube's less floor(side * low) .. floor(side * high) voxels, uniformly.
        margin: voxels between a block and the border.
        value_range: intensities (low, high) of the data.
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

    def __init__(
        self,
        blocks: int = 5,
        p_continue: float = 0.95,
        *,
        removed_fraction: tuple[float, float] = (3 / 7, 4 / 7),
        margin: int = 3,
        value_range: tuple[float, float] = (0.0, 1.0),
        prob: float = 1.0,
    ) -> None:
        super().__init__(prob, value_range)
        self.blocks = check_count("blocks", blocks)
        self.p_continue = check_probability("p_continue", p_continue)
        self.removed_fraction = check_fractions("removed_fraction", removed_fraction)
        self.margin = check_count("margin", margin, least=0)

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> OutPaintParams:
        sides = np.array(shape[2:])
        high, low = (sides - whole_voxels(sides, fraction) for fraction in self.removed_fraction)
        counts = 1 + count_while(rng.random((shape[0], self.blocks - 1)), self.p_continue)
        places = rng.random((shape[0], self.blocks, 2, len(sides)))
        blocks = drop_blocks(place_blocks(places, sides, (low, high), self.margin), counts)
        return OutPaintParams(blocks, draw_seeds(rng, shape[0]), tuple(shape[2:]))

    def apply(self, volume: torch.Tensor, params: OutPaintParams) -> torch.Tensor:
        check_shape(params, volume, len(params.seeds), params.spatial_shape)
        kept, noise = params.expand(channels=volume.shape[1])
        kept = torch.from_numpy(kept).to(volume.device)[:, None]
        return torch.where(kept, volume, scale_noise(noise, volume, self.value_range))


class RandOutPaintd(RandVolumeTransformd):
    """Dictionary form of `RandOutPaint`; the same blocks and noise for all keys."""

    def __init__(
        self,
        keys: KeysCollection,
        blocks: int = 5,
        p_continue: float = 0.95,
        *,
        removed_fraction: tuple[float, float] = (3 / 7, 4 / 7),
        margin: int = 3,
        value_range: tuple[float, float] = (0.0, 1.0),
        prob: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        settings = {"removed_fraction": removed_fraction, "margin": margin, "value_range": value_range, "prob": prob}
        super().__init__(keys, RandOutPaint(blocks, p_continue, **settings), allow_missing_keys)
