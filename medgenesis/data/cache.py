"""Prepared volumes, each read once: kept in memory, or on the disk (memory-mapped or compressed), or not at all."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset, MetaTensor, PersistentDataset
from monai.transforms.utils import convert_to_contiguous

from medgenesis.data.blocks import BlockedVolume, compress_blocks
from medgenesis.errors import CheckpointError
from medgenesis.storage import fingerprint, record_fingerprint, save_checkpoint, transform_fingerprint
from medgenesis.storage.zip_files import check_zip


def cached_volumes(
    data: Sequence[dict],
    preprocessing: Callable,
    cache: str = "none",
    cache_dir: str | Path | None = None,
    cache_num: int | None = None,
) -> Dataset:
    """The prepared volumes of records, as a data set whose cache is still empty.

    Args:
        data: records with file names.
        preprocessing: deterministic preparation of a volume.
        cache: "disk" (memory-mapped, bounded memory; needs `cache_dir`), "compressed" (likewise, in a third to a
            sixth of the room where values are few, each region decompressed when it is read), "memory" (volumes in
            RAM) or "none".
        cache_dir: folder of the cache on disk.
        cache_num: volumes that the memory cache keeps, the first ones; None keeps all.

    Raises:
        ValueError: an unknown `cache`, or a disk cache without folder.
    """
    if cache == "none":
        return Dataset(data, preprocessing)
    if cache == "memory":
        return HeldDataset(data, preprocessing, len(data) if cache_num is None else cache_num)
    if cache in ("disk", "compressed"):
        if cache_dir is None:
            raise ValueError(
                f'`cache_dir`: must be given for cache="{cache}"; found None. Name a folder for the cache.'
            )
        return (MappedDataset if cache == "disk" else CompressedDataset)(data, preprocessing, cache_dir)
    raise ValueError(f'`cache`: must be "disk", "compressed", "memory" or "none"; found {cache!r}. Choose one of them.')


class HeldDataset(Dataset):
    """Prepared volumes in memory; each is prepared when it is first asked for, or handed over by another process.

    Workers of a `DataLoader` share them: forked ones share the pages, for spawned ones PyTorch moves the tensors to
    shared memory.

    Args:
        data: records (dictionaries) with file paths.
        transform: deterministic preparation of a volume.
        cache_num: volumes that are kept, the first ones; others are prepared each time.
    """

    def __init__(self, data: Sequence[dict], transform: Callable, cache_num: int) -> None:
        super().__init__(data, transform)
        self.cache_num, self._held = cache_num, {}

    def prepare(self, i: int) -> dict[str, Any]:
        """Volume i, prepared now and not kept."""
        return convert_to_contiguous(super()._transform(i), memory_format=torch.contiguous_format)

    def hold(self, i: int, item: dict[str, Any]) -> None:
        """Keep volume i, as `prepare` has made it."""
        self._held[i] = item

    def holds(self, i: int) -> bool:
        """Whether volume i is one of those that are kept."""
        return i < self.cache_num

    def is_filled(self, i: int) -> bool:
        """Whether volume i need not be prepared any more."""
        return i in self._held

    def _transform(self, index: int) -> dict[str, Any]:
        if index in self._held:
            return self._held[index]
        item = self.prepare(index)
        if self.holds(index):
            self.hold(index, item)
        return item


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
        Whether a file has changed is asked once, when a record is first read; its checksums are compared once too, by
        whichever process opens it first.
    """

    suffix = ".pt"

    def __init__(self, data: Sequence[dict], transform: Callable, cache_dir: str | Path) -> None:
        super().__init__(
            data=data,
            transform=transform,
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
        path = self._file(self.data[index])
        if not self._sound[index] and path.is_file():
            try:
                check_zip(path, CheckpointError)
            except Exception as error:  # whatever is wrong with a cache file, it can be made anew
                warnings.warn(f"{path}: damaged cache file, made anew ({error})", stacklevel=2)
                path.unlink(missing_ok=True)  # another process may have been first
        item = super()._transform(index)
        self._sound[index] = True
        return item

    def _cachecheck(self, item_transformed: dict) -> dict:
        path = self._file(item_transformed)
        if path.is_file():
            try:
                return self._opened(torch.load(path, mmap=True, weights_only=True))
            except Exception as error:  # whatever is wrong with a cache file, it can be made anew
                warnings.warn(f"{path}: unreadable cache file, made anew ({error})", stacklevel=2)
        save_checkpoint(self._kept(_without_trace(self._pre_transform(dict(item_transformed)))), path)
        return self._opened(torch.load(path, mmap=True, weights_only=True))

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

    `dataset[i]` decompresses whole volumes; `in_regions(i)` has `BlockedVolume`s in their place, of which a crop
    decompresses the blocks that it touches. Arguments and notes as of `MappedDataset`.
    """

    suffix = ".compressed.pt"

    def in_regions(self, index: int) -> dict[str, Any]:
        """Item `index`, its volumes still compressed."""
        return super()._transform(index)

    def _transform(self, index: int) -> dict:
        item = self.in_regions(index)
        return {key: value.whole() if isinstance(value, BlockedVolume) else value for key, value in item.items()}

    def _kept(self, item: dict) -> dict:
        return {key: compress_blocks(value) if _is_volume(value) else value for key, value in item.items()}

    def _opened(self, kept: dict) -> dict:
        return {key: BlockedVolume(value) if _is_compressed(value) else value for key, value in kept.items()}


def _is_volume(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 1 and value.numel() > 0


def _is_compressed(value: Any) -> bool:
    return isinstance(value, dict) and "blocks" in value


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
