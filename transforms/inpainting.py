"""In-painting: a few inner blocks are filled with noise."""

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
class InPaintParams(Params):
    """Blocks drawn for a batch, and the seeds of their noise.

    Attributes:
        blocks: (B, K, 2, n) int64 first voxel, and one past the last; blocks that were not drawn are empty.
        seeds: (B,) int64.
        spatial_shape: the cubes' sides, voxels.
    """

    blocks: np.ndarray
    seeds: np.ndarray
    spatial_shape: tuple[int, ...]

    def expand(self) -> tuple[np.ndarray, np.ndarray]:
        """What is filled, bool (B, *spatial), and with what: fractions of the range (B, 1, *spatial)."""
        voxels = np.arange(int(np.prod(self.spatial_shape)))
        noise = np.stack([noise_at(seed, voxels) for seed in self.seeds.tolist()])
        return block_mask(self.blocks, self.spatial_shape), noise.reshape(-1, 1, *self.spatial_shape)


class RandInPaint(RandVolumeTransform):
    """Fill up to `blocks` inner blocks with uniform noise over the range, the same for all channels.

    Args:
        blocks: greatest number of blocks.
        p_continue: probability of going on, asked before each block, the first included.
        side_fraction: a block's side is uniform on floor(side * low) .. floor(side * high) voxels.
        margin: voxels between a block and the border.
        value_range: intensities (low, high) of the data.
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

    def __init__(
        self,
        blocks: int = 5,
        p_continue: float = 0.95,
        *,
        side_fraction: tuple[float, float] = (1 / 6, 1 / 3),
        margin: int = 3,
        value_range: tuple[float, float] = (0.0, 1.0),
        prob: float = 1.0,
    ) -> None:
        super().__init__(prob, value_range)
        self.blocks = check_count("blocks", blocks)
        self.p_continue = check_probability("p_continue", p_continue)
        self.side_fraction = check_fractions("side_fraction", side_fraction)
        self.margin = check_count("margin", margin, least=0)

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> InPaintParams:
        sides = np.array(shape[2:])
        low, high = (np.maximum(1, whole_voxels(sides, fraction)) for fraction in self.side_fraction)
        counts = count_while(rng.random((shape[0], self.blocks)), self.p_continue)
        places = rng.random((shape[0], self.blocks, 2, len(sides)))
        blocks = drop_blocks(place_blocks(places, sides, (low, high), self.margin), counts)
        return InPaintParams(blocks, draw_seeds(rng, shape[0]), tuple(shape[2:]))

    def apply(self, volume: torch.Tensor, params: InPaintParams) -> torch.Tensor:
        check_shape(params, volume, len(params.seeds), params.spatial_shape)
        painted = volume.clone(memory_format=torch.contiguous_format)
        masks = block_mask(params.blocks, params.spatial_shape)
        for cube, mask, seed in zip(painted.flatten(2), masks, params.seeds.tolist(), strict=True):
            voxels = np.flatnonzero(mask)
            where = torch.from_numpy(voxels).to(volume.device)
            cube[:, where] = scale_noise(noise_at(seed, voxels), volume, self.value_range)
        return painted


class RandInPaintd(RandVolumeTransformd):
    """Dictionary form of `RandInPaint`; the same blocks and noise for all keys."""

    def __init__(
        self,
        keys: KeysCollection,
        blocks: int = 5,
        p_continue: float = 0.95,
        *,
        side_fraction: tuple[float, float] = (1 / 6, 1 / 3),
        margin: int = 3,
        value_range: tuple[float, float] = (0.0, 1.0),
        prob: float = 1.0,
        allow_missing_keys: bool = False,
    ) -> None:
        settings = {"side_fraction": side_fraction, "margin": margin, "value_range": value_range, "prob": prob}
        super().__init__(keys, RandInPaint(blocks, p_continue, **settings), allow_missing_keys)
