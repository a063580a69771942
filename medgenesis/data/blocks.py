"""A volume compressed without loss in blocks, of which a region decompresses only those that it touches."""

import itertools
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import SpatialCrop
from monai.utils import MetaKeys

from medgenesis.io.unpacking import isal_zlib

_SIDES = {0: 1, 1: 32768, 2: 181, 3: 32, 4: 13}  # of a block: about as many voxels with any number of axes
_deflate = isal_zlib or zlib  # one format, whichever wrote it
_LEVEL = 1
_MOST_VALUES = 2**16  # of a table: places are numbers of 16 bits
_AT_HAND = 256  # blocks that a volume keeps at most: 32 MiB of float32
_FIELDS = {"like", "shape", "sides", "ends", "blocks"}
_DTYPES = {
    *(torch.float16, torch.float32, torch.float64, torch.bool, torch.uint8),
    *(torch.int8, torch.int16, torch.int32, torch.int64),
}


def can_be_compressed(value: Any) -> bool:
    """Whether `compress_blocks` takes it: a tensor (C, *spatial) of a plain dtype that is no empty one."""
    return isinstance(value, torch.Tensor) and value.ndim > 1 and value.numel() > 0 and value.dtype in _DTYPES


def compress_blocks(volume: torch.Tensor) -> dict[str, Any]:
    """A volume (C, *spatial) as plain data that `save_checkpoint` keeps and `BlockedVolume` reads.

    Each block is deflated. Where its elements have few values, as those of a CT that is not resampled, the table of
    the values and the place of each element in it are, which takes half as much again or less.
    """
    plain = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
    elements = np.ascontiguousarray(plain.detach().numpy())
    long = sum(side > 1 for side in elements.shape[1:])
    sides = [1, *(_SIDES.get(long, 8) if side > 1 else 1 for side in elements.shape[1:])]
    blocks = [
        _compressed(elements[tuple(slice(i * side, (i + 1) * side) for i, side in zip(place, sides, strict=True))])
        for place in np.ndindex(*_counts(elements.shape, sides))
    ]
    empty = torch.empty((0,) * plain.ndim, dtype=plain.dtype)
    return {
        "like": MetaTensor(empty, meta=volume.meta) if isinstance(volume, MetaTensor) else empty,
        "shape": list(elements.shape),
        "sides": sides,
        "ends": torch.as_tensor(np.cumsum([len(block) for block in blocks]), dtype=torch.int64),
        "blocks": torch.frombuffer(bytearray(b"".join(blocks)), dtype=torch.uint8),
    }


def is_compressed(value: Any) -> bool:
    """Whether it is what `compress_blocks` gives."""
    return isinstance(value, dict) and value.keys() == _FIELDS


class BlockedVolume:
    """A compressed volume (C, *spatial): its shape and geometry at hand, its elements when a region is asked for.

    Args:
        compressed: what `compress_blocks` gave; its tensors may be memory-mapped.
    """

    def __init__(self, compressed: dict[str, Any]) -> None:
        self._compressed = compressed
        self.like: torch.Tensor = compressed["like"]
        self.shape = torch.Size(compressed["shape"])
        self.ndim = len(self.shape)
        self._at_hand: dict[tuple[int, ...], np.ndarray] = {}  # one place is asked about, then cut, key by key

    @property
    def meta(self) -> dict[str, Any]:
        """As a `MetaTensor`'s; empty for a plain tensor."""
        return getattr(self.like, "meta", {})

    @property
    def pixdim(self) -> torch.Tensor:
        """Voxel size in mm, as a `MetaTensor`'s; ones for a plain tensor."""
        return self.like.pixdim if isinstance(self.like, MetaTensor) else torch.ones(self.ndim - 1)

    def __getitem__(self, region: tuple[slice, ...]) -> torch.Tensor:
        """The elements of a region, as a plain tensor with memory of its own.

        Args:
            region: a slice of step 1 for each axis, the channels' first.
        """
        bounds = [one.indices(side) for one, side in zip(region, self.shape, strict=True)]
        starts, stops = [near for near, _, _ in bounds], [max(near, far) for near, far, _ in bounds]
        found = np.empty([far - near for near, far in zip(starts, stops, strict=True)], self._dtype)
        sides = self._compressed["sides"]
        touched = [
            range(near // side, -(-far // side)) if far > near else range(0)
            for near, far, side in zip(starts, stops, sides, strict=True)
        ]
        count = int(np.prod([len(places) for places in touched]))
        if len(self._at_hand) + count > _AT_HAND:
            self._at_hand = {}
        for place in itertools.product(*touched):
            block, corner = self._block_at(place, keep=count <= _AT_HAND), np.multiply(place, sides)
            near = np.maximum(starts, corner)
            far = np.minimum(stops, np.add(corner, block.shape))
            found[_slices(near - starts, far - starts)] = block[_slices(near - corner, far - corner)]
        return torch.from_numpy(found)

    def crop(self, start: Sequence[int], end: Sequence[int]) -> torch.Tensor:
        """All channels between two corners, with the affine of the region, but no trace for `Invertd`."""
        cube = self[(slice(None), *map(slice, start, end))]
        if not isinstance(self.like, MetaTensor):
            return cube
        affine = self.like.affine
        move = torch.eye(affine.shape[-1], dtype=affine.dtype)
        count = min(len(start), affine.shape[-1] - 1)
        move[:count, -1] = torch.as_tensor(list(start[:count]), dtype=affine.dtype)
        return MetaTensor(cube, meta={**self.meta, MetaKeys.AFFINE: affine @ move})

    def whole(self) -> torch.Tensor:
        """The volume as it was."""
        elements = self[(slice(None),) * self.ndim]
        return MetaTensor(elements, meta=self.meta) if isinstance(self.like, MetaTensor) else elements

    @property
    def _dtype(self) -> np.dtype:
        return torch.empty(0, dtype=self.like.dtype).numpy().dtype

    def _block_at(self, place: tuple[int, ...], keep: bool) -> np.ndarray:
        if place in self._at_hand:
            return self._at_hand[place]
        sides, ends = self._compressed["sides"], self._compressed["ends"]
        number = int(np.ravel_multi_index(place, _counts(self.shape, sides)))
        begin = int(ends[number - 1]) if number else 0
        content = _deflate.decompress(self._compressed["blocks"][begin : int(ends[number])].numpy())
        cut = np.minimum(sides, np.subtract(self.shape, np.multiply(place, sides)))
        block = _elements(content, self._dtype).reshape(cut)
        if keep:
            self._at_hand[place] = block
        return block


def crop_region(volume: torch.Tensor | BlockedVolume, start: Sequence[int], end: Sequence[int]) -> torch.Tensor:
    """All channels (C, *spatial) between two corners, with the affine of the region, in memory of their own."""
    if isinstance(volume, BlockedVolume):
        return volume.crop(start, end)
    # cloned: a view would drag the volume along to the trainer
    return SpatialCrop(roi_start=start, roi_end=end)(volume).clone(memory_format=torch.contiguous_format)


def _compressed(block: np.ndarray) -> bytes:
    """One block: the number of values in its table (0: no table), the table, and the bytes of the places by rank."""
    content = np.ascontiguousarray(block)
    bits = content.view(f"u{content.itemsize}").ravel()  # so that -0.0 and NaN come back as they are
    values, places = np.unique(bits, return_inverse=True) if content.itemsize > 1 else (bits[:0], bits)
    if not 0 < len(values) <= min(bits.size // 4, _MOST_VALUES):
        return _deflate.compress(np.uint32(0).tobytes() + bits.tobytes(), _LEVEL)
    places = places.astype(np.uint8 if len(values) <= 256 else np.uint16)
    by_rank = places.view(np.uint8).reshape(-1, places.itemsize).T
    return _deflate.compress(np.uint32(len(values)).tobytes() + values.tobytes() + by_rank.tobytes(), _LEVEL)


def _elements(content: bytes, dtype: np.dtype) -> np.ndarray:
    count = int(np.frombuffer(content, np.uint32, 1)[0])
    if not count:
        return np.frombuffer(content, dtype, offset=4)
    values = np.frombuffer(content, dtype, count, offset=4)
    by_rank = np.frombuffer(content, np.uint8, offset=4 + values.nbytes)
    if count <= 256:
        return values[by_rank]
    return values[np.ascontiguousarray(by_rank.reshape(2, -1).T).view(np.uint16).ravel()]


def _counts(shape: Sequence[int], sides: Sequence[int]) -> list[int]:
    return [-(-whole // side) for whole, side in zip(shape, sides, strict=True)]


def _slices(near: Sequence[int], far: Sequence[int]) -> tuple[slice, ...]:
    return tuple(map(slice, map(int, near), map(int, far)))
