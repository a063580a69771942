"""A volume compressed without loss in blocks, of which a region decompresses only those that it touches."""

import itertools
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import MetaKeys

from medgenesis.io.unpacking import isal_zlib

_SIDES = {1: 32768, 2: 181, 3: 32}  # of a block: about as many elements with any number of axes
_deflate = isal_zlib or zlib  # one format, whichever wrote it
_LEVEL = 1
_AT_HAND = 64  # blocks that a volume keeps at most: 8 MiB of float32


def compress_blocks(volume: torch.Tensor) -> dict[str, Any]:
    """A volume (C, *spatial) of any dtype as plain data that `save_checkpoint` keeps and `BlockedVolume` reads.

    Each block is deflated. Where its elements have few values, as those of a CT that is not resampled, the table of
    the values and the place of each element in it are, which takes half as much again or less.
    """
    plain = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
    elements = np.ascontiguousarray(plain.numpy())
    blocks = [_compressed(elements[region]) for region in _regions(elements.shape)]
    empty = torch.empty(0, dtype=plain.dtype)
    return {
        "like": MetaTensor(empty, meta=volume.meta) if isinstance(volume, MetaTensor) else empty,
        "shape": list(elements.shape),
        "ends": torch.as_tensor(np.cumsum([len(block) for block in blocks]), dtype=torch.int64),
        "blocks": torch.frombuffer(bytearray(b"".join(blocks)), dtype=torch.uint8),
    }


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
        return self.like.pixdim if isinstance(self.like, MetaTensor) else torch.ones(3)

    def __getitem__(self, region: tuple[slice, ...]) -> torch.Tensor:
        """The elements of a region, as a plain tensor with memory of its own.

        Args:
            region: a slice of step 1 for each axis, the channels' first.
        """
        bounds = [one.indices(side) for one, side in zip(region, self.shape, strict=True)]
        starts, stops = [near for near, _, _ in bounds], [max(near, far) for near, far, _ in bounds]
        found = np.empty([far - near for near, far in zip(starts, stops, strict=True)], self._dtype)
        sides = _block(self.shape)
        touched = [
            range(near // side, -(-far // side)) if far > near else range(0)
            for near, far, side in zip(starts, stops, sides, strict=True)
        ]
        for place in itertools.product(*touched):
            block, corner = self._block_at(place), np.multiply(place, sides)
            near = np.maximum(starts, corner)
            far = np.minimum(stops, np.add(corner, block.shape))
            found[_slices(near - starts, far - starts)] = block[_slices(near - corner, far - corner)]
        return torch.from_numpy(found)

    def crop(self, start: Sequence[int], end: Sequence[int]) -> torch.Tensor:
        """All channels between two corners, with the affine of the region, as MONAI's `SpatialCrop` cuts a tensor."""
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

    def _block_at(self, place: tuple[int, ...]) -> np.ndarray:
        if place not in self._at_hand:
            if len(self._at_hand) == _AT_HAND:
                self._at_hand.clear()
            number, ends = int(np.ravel_multi_index(place, _counts(self.shape))), self._compressed["ends"]
            begin = int(ends[number - 1]) if number else 0
            content = _deflate.decompress(self._compressed["blocks"][begin : int(ends[number])].numpy())
            sides = _block(self.shape)
            cut = np.minimum(sides, np.subtract(self.shape, np.multiply(place, sides)))
            self._at_hand[place] = _elements(content, self._dtype).reshape(cut)
        return self._at_hand[place]


def _compressed(block: np.ndarray) -> bytes:
    """One block: the number of values in its table (0: no table), the table, and the bytes of the places by rank."""
    content = np.ascontiguousarray(block)
    bits = content.view(f"u{content.itemsize}").ravel()  # so that -0.0 and NaN come back as they are
    values, places = np.unique(bits, return_inverse=True) if content.itemsize > 1 else (bits[:0], bits)
    if not 0 < len(values) <= bits.size // 4:
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


def _block(shape: Sequence[int]) -> list[int]:
    """The sides of a block: one channel."""
    rank = len(shape) - 1
    return [1] + [_SIDES.get(rank, 16)] * rank


def _counts(shape: Sequence[int]) -> list[int]:
    return [-(-whole // side) for whole, side in zip(shape, _block(shape), strict=True)]


def _regions(shape: Sequence[int]) -> list[tuple[slice, ...]]:
    sides = _block(shape)
    return [
        tuple(slice(i * side, (i + 1) * side) for i, side in zip(place, sides, strict=True))
        for place in np.ndindex(*_counts(shape))
    ]


def _slices(near: Sequence[int], far: Sequence[int]) -> tuple[slice, ...]:
    return tuple(map(slice, map(int, near), map(int, far)))
