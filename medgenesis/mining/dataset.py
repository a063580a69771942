"""Discovered patterns as training samples, cut and corrupted on the fly; and their volumes, by number."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from medgenesis.data.cache import cached_volumes
from medgenesis.data.checked_volumes import checked_volumes
from medgenesis.data.disk_cache import reader_for
from medgenesis.data.patch_dataset import SeededDataset, chain
from medgenesis.data.volume_check import VolumeCheck
from medgenesis.errors import DatalistError
from medgenesis.mining.cubes import CropPatternd
from medgenesis.mining.geometry import VolumeInfo
from medgenesis.mining.patterns import PatternTable
from medgenesis.mining.whole_volumes import mined_record


class VolumeLoader:
    """Gives volume i of a list, prepared, as (C, X, Y, Z): the `load` of discovery and of what looks at its result.

    Args:
        volumes: as in `VolumeFeatures.volumes` or `PatternTable.volumes`.
        preprocessing: the one that their features were computed with.
        cache: "none", "disk" (memory-mapped; the cache of the features is used again), "compressed" or "memory".
        cache_dir: folder of the disk cache.

    Raises:
        ValueError: an unknown `cache`, or a disk cache without folder.
        VolumeError: (on call) a file that cannot be used, or whose shape is no longer the listed one.
    """

    def __init__(
        self,
        volumes: Sequence[VolumeInfo],
        preprocessing: Callable,
        *,
        cache: str = "none",
        cache_dir: str | Path | None = None,
    ) -> None:
        self.volumes = list(volumes)
        self.prepared = cached_volumes([mined_record(vars(one)) for one in volumes], preprocessing, cache, cache_dir)

    def __call__(self, i: int) -> torch.Tensor:
        return self.volumes[i].check(self.prepared[i]["image"])


class _ListedShapes:
    """A check that each volume still has the shape that is listed of it (VolumeError)."""

    def __init__(self, volumes: Sequence[VolumeInfo]) -> None:
        self.volumes = list(volumes)

    def __call__(self, i: int, item: Mapping[str, Any]) -> None:
        self.volumes[i].check(item["image"])


class PatternDataset(SeededDataset):
    """The cubes of a pattern table with their classes, each corrupted into a pretext pair.

    Every volume that cubes come from is read once when the data set is made, so that one that cannot be read, or has
    another shape than when it was mined, is known before hours are spent (one with other voxels in the same shape is
    not: `medgenesis mine` again reads files that have changed anew); this pass fills the cache, which holds each
    volume once, however many cubes it gives.

    Args:
        table: the patterns.
        preprocessing: the one that they were mined with.
        transform: random transform of a cube, as `RandGenesisd("image", preset="semantic")`; None returns the plain
            cube.
        section: "training" or "validation".
        seed: with the epoch and the index, the only source of randomness.
        cache: "disk" (memory-mapped, bounded memory; needs `cache_dir`), "compressed", "memory" (all volumes in RAM) or
            "none".
        cache_dir: folder of the disk cache.
        keys: what a sample keeps; `class` is an int, which collates to int64 (B,).
        num_workers: processes that read the volumes when the data set is made; the result is the same with any number.
        deferred: leave `transform` to `complete`, which a trainer calls on its device: see `Deferred`.

    Returns:
        `dataset[SampleKey(epoch, index)]` (or `dataset[index]`, epoch 0): a dictionary; sample `index` is item `index`
        of the section.

    Raises:
        ValueError: another section, an unknown `cache`, or a disk cache without folder.
        DatalistError: a section without items.
        VolumeError: a volume that cannot be read or prepared, or whose shape is no longer the table's.
        IntensityRangeError: a volume whose values do not fit the preset.
    """

    def __init__(
        self,
        table: PatternTable,
        preprocessing: Callable,
        transform: Callable | None = None,
        section: str = "training",
        *,
        seed: int = 0,
        cache: str = "disk",
        cache_dir: str | Path | None = None,
        keys: Sequence[str] = ("image", "target", "class"),
        num_workers: int = 0,
        deferred: bool = False,
    ) -> None:
        self.items = table.items(section)
        if not self.items:
            raise DatalistError(
                f"section: the pattern table must have items in it; found none in {section!r}. Choose the other "
                "section, or mine again with patients there."
            )
        crop = CropPatternd("image", table.settings["cube_size"])
        super().__init__(chain(crop, transform, deferred), seed, keys)
        images = {item["image"] for item in self.items}
        volumes = [volume for volume in table.volumes if volume.image in images]
        self.load = VolumeLoader(volumes, preprocessing)
        self.place_of = {volume.image: i for i, volume in enumerate(volumes)}
        self.load.prepared, _ = checked_volumes(
            self.load.prepared.data,
            preprocessing,
            VolumeCheck(also=_ListedShapes(volumes)),
            cache=cache,
            cache_dir=cache_dir,
            num_workers=num_workers,
        )
        self._read = reader_for(self.load.prepared, crop)

    def __len__(self) -> int:
        return len(self.items)

    def source(self, index: int) -> dict[str, Any]:
        """Item `index` with its volume in place of the file name."""
        item = self.items[index]
        i = self.place_of[item["image"]]
        return {**item, "image": self.load.volumes[i].check(self._read(i)["image"])}

    def file(self, index: int) -> str:
        """The file that item `index` is cut from."""
        return str(self.items[index]["image"])
