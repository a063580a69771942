"""Prepared volumes on the disk, memory-mapped or compressed, in files that are never stale."""

import warnings
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset, MetaTensor, PersistentDataset
from monai.transforms import Compose, Transform
from monai.transforms.traits import RandomizableTrait

from medgenesis.data.blocks import BlockedVolume, can_be_compressed, compress_blocks, is_compressed
from medgenesis.data.crop import Crop
from medgenesis.data.pipeline import Preprocessing
from medgenesis.errors import CheckpointError
from medgenesis.storage import fingerprint, record_fingerprint, save_checkpoint, transform_fingerprint
from medgenesis.storage.zip_files import check_zip


class MappedDataset(PersistentDataset):
    """MONAI's `PersistentDataset`, with cache files that are memory-mapped and never stale.

    A cube cut from a cached volume reads the pages it covers, not the volume, and the pages belong to the
    operating system: a folder larger than memory is read in bounded memory.

    Args:
        data: records (dictionaries) with file paths.
        transform: deterministic preparation of a volume.
        cache_dir: folder of the cache files.

    Notes:
        The file name holds a hash of the record, of the size and time of change of its files, and of the transforms
        with their parameters; MONAI's default hashes the record alone. Files are written beside, then renamed;
        an unreadable one is made anew. A cached volume keeps its affine, but not the trace that `Invertd` needs.
        A `Compose` among the steps is taken for its steps; MONAI takes it for a random one, and caches file names.
        Whether a file has changed is asked once, when a record is first read; its checksums are compared once too, by
        whichever process opens it first.
    """

    suffix = ".pt"

    def __init__(self, data: Sequence[dict], transform: Callable, cache_dir: str | Path) -> None:
        super().__init__(
            data=data,
            transform=_flat(transform),
            cache_dir=cache_dir,
            hash_func=_hash_of_record,
            hash_transform=_hash_of_steps,
        )
        self._names: dict[str, str] = {}
        self._sound = torch.zeros(len(data), dtype=torch.bool).share_memory_()  # by workers too: a check reads it all

    def is_filled(self, i: int) -> bool:
        """Whether volume i lies in the cache."""
        return self._file(self.data[i]).is_file()

    def _transform(self, index: int) -> dict:
        self._check_once(index)
        item = super()._transform(index)
        self._sound[index] = True
        return item

    def _check_once(self, index: int) -> None:
        path = self._file(self.data[index])
        if not self._sound[index] and path.is_file():
            try:
                check_zip(path, CheckpointError)
            except Exception as error:  # whatever is wrong with a cache file, it can be made anew
                warnings.warn(f"{path}: damaged cache file, made anew ({error})", stacklevel=3)
                path.unlink(missing_ok=True)  # another process may have been first

    def _cachecheck(self, item_transformed: dict) -> dict:
        return self._opened(self._read_or_made(item_transformed))

    def _read_or_made(self, record: dict) -> dict:
        path = self._file(record)
        if path.is_file():
            try:
                return torch.load(path, mmap=True, weights_only=True)
            except Exception as error:  # whatever is wrong with a cache file, it can be made anew
                warnings.warn(f"{path}: unreadable cache file, made anew ({error})", stacklevel=2)
        # a third of the time would be waiting for the disk: what a power cut damages is found by its checksums
        save_checkpoint(self._kept(_without_trace(self._pre_transform(dict(record)))), path, durable=False)
        return torch.load(path, mmap=True, weights_only=True)

    def _kept(self, item: dict) -> dict:
        """A prepared item as the cache file holds it."""
        return item

    def _opened(self, kept: dict) -> dict:
        """The item of a cache file, whose tensors are memory-mapped."""
        return kept

    def _file(self, record: dict) -> Path:
        key = fingerprint(record)
        if key not in self._names:  # once: a series is hundreds of files, a cube is cut every few milliseconds
            self._names[key] = f"{self.hash_func(record).decode()}{self.transform_hash}{self.suffix}"
        return self.cache_dir / self._names[key]


class CompressedDataset(MappedDataset):
    """Cache files that hold each volume compressed without loss, for folders that the disk does not hold otherwise.

    `dataset[i]` decompresses whole volumes; `in_regions` leaves that to a crop, which decompresses the blocks that it
    touches. Arguments and notes as of `MappedDataset`.
    """

    suffix = ".compressed.pt"  # to become another one where the form of the files does

    def in_regions(self, index: int, keys: Collection[Hashable]) -> dict[str, Any]:
        """Item `index`, with a `BlockedVolume` in the place of each volume that is named."""
        self._check_once(index)
        kept = self._read_or_made(self.data[index])
        self._sound[index] = True
        found = {key: BlockedVolume(value) for key, value in kept.items() if key in keys and is_compressed(value)}
        return {**self._opened({key: value for key, value in kept.items() if key not in found}), **found}

    def _kept(self, item: dict) -> dict:
        return {key: compress_blocks(value) if can_be_compressed(value) else value for key, value in item.items()}

    def _opened(self, kept: dict) -> dict:
        return {key: BlockedVolume(value).whole() if is_compressed(value) else value for key, value in kept.items()}


def reader_for(volumes: Dataset, crop: Crop | None) -> Callable[[int], dict[str, Any]]:
    """How the items that a crop cuts from are read: i -> item, whose volumes are `BlockedVolume`s where both know them.

    Args:
        volumes: as `cached_volumes` gives them.
        crop: whose class itself says `reads_regions`: one that is derived from it may ask more of a volume.
    """
    known = isinstance(volumes, CompressedDataset) and vars(type(crop)).get("reads_regions", False)
    if not known or volumes.transform.get_index_of_first(is_random) is not None:
        return volumes.__getitem__
    keys = {*crop.keys, *getattr(crop, "label_keys", ())}
    return partial(volumes.in_regions, keys=keys)


def is_random(step: Any) -> bool:
    """Whether MONAI's data sets take a step for one whose result is not to be kept."""
    return isinstance(step, RandomizableTrait) or not isinstance(step, Transform)


def _flat(transform: Callable) -> Callable:
    """Without steps that are no more than several steps."""
    plain = (Compose, Preprocessing)
    if not isinstance(transform, Compose) or not any(type(step) in plain for step in transform.transforms):
        return transform
    parts = [_flat(step).transforms if type(step) in plain else (step,) for step in transform.transforms]
    return type(transform)([step for part in parts for step in part])


def _without_trace(item: dict) -> dict:
    """The same volumes without MONAI's trace of applied transforms, which no `weights_only` reader takes back."""
    plain = dict(item)
    for key, value in item.items():
        if isinstance(value, MetaTensor):
            plain[key] = MetaTensor(value.as_tensor(), meta=value.meta, applied_operations=[])
    return plain


def _hash_of_record(record: dict) -> bytes:
    return record_fingerprint(record).encode()


def _hash_of_steps(steps: Sequence[Callable]) -> bytes:
    return transform_fingerprint(*steps).encode()
