"""Prepared volumes, each read once: kept in memory, or on the disk (memory-mapped or compressed), or not at all."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset
from monai.transforms.utils import convert_to_contiguous

from medgenesis.data.disk_cache import CompressedDataset, MappedDataset


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
        cache: "disk" (memory-mapped, bounded memory; needs `cache_dir`), "compressed" (likewise, in a fifth to a
            third of the room where the grid is the scan's own, each region decompressed when it is read), "memory"
            (volumes in RAM) or "none".
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
