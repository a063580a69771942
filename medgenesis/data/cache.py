"""Prepared volumes on the disk, memory-mapped: a folder larger than memory is read in bounded memory."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from monai.data import MetaTensor, PersistentDataset

from medgenesis.storage import fingerprint, record_fingerprint, save_checkpoint, transform_fingerprint


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
        Whether a file has changed is asked once, when a record is first read.
    """

    def __init__(self, data: Sequence[dict], transform: Callable, cache_dir: str | Path) -> None:
        super().__init__(
            data=data,
            transform=transform,
            cache_dir=cache_dir,
            hash_func=_hash_of_record,
            hash_transform=_hash_of_steps,
        )
        self._names: dict[str, str] = {}

    def _cachecheck(self, item_transformed: dict) -> dict:
        record = fingerprint(item_transformed)
        if record not in self._names:  # once: a series is hundreds of files, a cube is cut every few milliseconds
            self._names[record] = f"{self.hash_func(item_transformed).decode()}{self.transform_hash}.pt"
        path = self.cache_dir / self._names[record]
        if path.is_file():
            try:
                return torch.load(path, mmap=True, weights_only=True)
            except Exception as error:  # whatever is wrong with a cache file, it can be made anew
                warnings.warn(f"{path}: unreadable cache file, made anew ({error})", stacklevel=2)
        save_checkpoint(_without_trace(self._pre_transform(dict(item_transformed))), path)
        return torch.load(path, mmap=True, weights_only=True)


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
