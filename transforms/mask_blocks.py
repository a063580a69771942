"""Block masking: the pretext task of masked autoencoders hides most blocks of a regular grid."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.utils import ensure_tuple

from medgenesis.errors import VolumeError
from medgenesis.transforms.base import (
    BatchedVolumeTransform,
    RandVolumeTransform,
    RandVolumeTransformd,
    as_volume,
    like,
)
from medgenesis.transforms.checks import check_count
from medgenesis.transforms.params import Generator, Params, check_shape


@dataclass(frozen=True, eq=False)
class MaskBlocksParams(Params):
    """Blocks drawn for a batch.

    Attributes:
        hidden: (B, *grid) bool, which blocks are hidden.
        block_size: sides of a block, voxels.
        spatial_shape: the cubes' sides, voxels; a block that sticks out is cut off.
    """

    hidden: np.ndarray
    block_size: tuple[int, ...]
    spatial_shape: tuple[int, ...]

    def expand(self) -> np.ndarray:
        """The mask: which voxels are hidden, bool (B, *spatial)."""
        return self.mask("cpu").numpy()

    def mask(self, device: torch.device | str) -> torch.Tensor:
        """The same on a device."""
        mask = torch.from_numpy(self.hidden).to(device)
        for axis, (size, side) in enumerate(zip(self.block_size, self.spatial_shape, strict=True), start=1):
            mask = mask.repeat_interleave(size, axis).narrow(axis, 0, side)
        return mask


class RandMaskBlocks(RandVolumeTransform):
    """Hide a fixed share of the blocks of a regular grid; the same blocks of all channels.

    The grid starts at the volume's first voxel. The hidden blocks are drawn without replacement, all sets alike likely;
    their number is round(ratio * blocks), at least one, and never all.

    Args:
        ratio: share of the blocks that are hidden, in (0, 1).
        block_size: sides of a block in voxels, for each axis or one for all. For a `SparseUNet3D` a multiple of 8 that
            divides the cube's sides.
        fill: the value of hidden voxels, in the intensities of the data (0: air, where CT is scaled from -1000 HU).
        prob: probability that anything is hidden.

    Raises:
        ValueError: a setting out of its range.
        VolumeError: (on call) not (C, *spatial), empty, not floating point, or not finite; of a single block; of
            another number of axes than `block_size`.

    References:
        He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022 (arXiv 2111.06377), section 3: random
        masking, 75 % of the patches.
        Wald et al., Revisiting MAE pre-training for 3D medical image segmentation, CVPR 2025 (arXiv 2410.23132).
    """

    params: MaskBlocksParams

    def __init__(
        self, ratio: float = 0.75, block_size: int | Sequence[int] = 16, *, fill: float = 0.0, prob: float = 1.0
    ) -> None:
        super().__init__(prob)
        if not 0 < ratio < 1:
            raise ValueError(
                f"ratio: must be a share between 0 and 1, both excluded; found {ratio}. Give 0.75 for example."
            )
        if not np.isfinite(fill):
            raise ValueError(
                f"fill: must be a finite number; found {fill}. Give the value of air, 0 for example, and take the mask "
                "(mask_key) to know what is hidden."
            )
        self.ratio, self.fill = float(ratio), float(fill)
        self.block_size = tuple(check_count("block_size", side) for side in ensure_tuple(block_size))

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> MaskBlocksParams:
        batch, _, *sides = shape
        if len(self.block_size) not in (1, len(sides)):
            raise VolumeError(
                f"block_size: must have one side for all axes or for each of {len(sides)}; found {self.block_size}. "
                "Give one number, or as many as axes."
            )
        size = tuple(np.broadcast_to(self.block_size, len(sides)).tolist())
        grid = [-(-side // length) for side, length in zip(sides, size, strict=True)]
        blocks = int(np.prod(grid))
        if blocks < 2:
            raise VolumeError(
                f"block_size: must leave two blocks or more; found one of {size} in {tuple(sides)} voxels. Choose "
                "smaller blocks or larger cubes."
            )
        count = min(max(int(self.ratio * blocks + 0.5), 1), blocks - 1)
        ranks = rng.random((batch, blocks)).argsort(axis=1).argsort(axis=1)
        return MaskBlocksParams((ranks < count).reshape(batch, *grid), size, tuple(sides))

    def apply(self, volume: torch.Tensor, params: MaskBlocksParams) -> torch.Tensor:
        check_shape(params, volume, len(params.hidden), params.spatial_shape)
        return volume.masked_fill(params.mask(volume.device)[:, None], self.fill)


class RandMaskBlocksd(RandVolumeTransformd):
    """Dictionary form of `RandMaskBlocks`: the same blocks for all keys; the mask, and if asked the target, are kept.

    Args:
        keys: volumes (C, *spatial) of equal spatial shape.
        mask_key: where the mask goes, bool (1, *spatial), True where hidden.
        target_key: where the volumes go as they were, one name a key; None: nowhere. They share the input's memory.
        settings: those of `RandMaskBlocks`.
        allow_missing_keys: leave out keys that the data lack, instead of raising KeyError.

    Raises:
        ValueError: names of targets that do not fit the keys.
    """

    array = RandMaskBlocks

    def __init__(
        self,
        keys: KeysCollection = "image",
        mask_key: Hashable = "mask",
        target_key: KeysCollection | None = None,
        *settings: Any,
        allow_missing_keys: bool = False,
        **named: Any,
    ) -> None:
        super().__init__(keys, *settings, allow_missing_keys=allow_missing_keys, **named)
        self.mask_key = mask_key
        self.target_keys = (None,) * len(self.keys) if target_key is None else ensure_tuple(target_key)
        names = [name for name in (*self.keys, mask_key, *self.target_keys) if name is not None]
        if len(self.target_keys) != len(self.keys) or len(set(names)) < len(names):
            raise ValueError(
                f"target_key: must name one new key for each of {self.keys}, other than mask_key; found {target_key}. "
                "Name as many."
            )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = super().__call__(data)
        for key, target_key in self.key_iterator(result, self.target_keys):
            volume, drawn = result[key], self.transform.params
            if drawn is None:
                mask = volume.new_zeros((1, *volume.shape[1:]), dtype=torch.bool)
            else:
                mask = drawn.mask(volume.device)
            result[self.mask_key] = like(mask, volume)
            if target_key is not None:
                result[target_key] = as_volume(data[key])
                result[key] = volume.clone() if drawn is None else volume
        return result

    def on_batch(self, batch: Mapping[Hashable, Any], seeds: Sequence[int]) -> dict[Hashable, Any]:
        result, target_of = dict(batch), dict(zip(self.keys, self.target_keys, strict=True))
        for key, drawn in self.drawn(batch, seeds):
            volume = batch[key]
            result[key] = drawn(volume, randomize=False)
            mask, active = drawn.params.mask(volume.device), torch.from_numpy(drawn.active).to(volume.device)
            result[self.mask_key] = like((mask & active.view(-1, *(1,) * (mask.ndim - 1)))[:, None], volume)
            if target_of[key] is not None:
                result[target_of[key]] = volume
                result[key] = result[key] if drawn.active.any() else volume.clone()
        return result


class BatchedMaskBlocks(BatchedVolumeTransform):
    """Batched form of `RandMaskBlocks`; the mask is `params.mask(device)`, bool (B, *spatial)."""

    array = RandMaskBlocks
    params: MaskBlocksParams
