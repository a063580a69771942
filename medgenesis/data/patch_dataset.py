"""Random cubes of volumes: cut and corrupted on the fly, each a function of (seed, epoch, index)."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from monai.utils import ensure_tuple

from medgenesis.data.checked_volumes import checked_volumes
from medgenesis.data.crop import Crop
from medgenesis.data.disk_cache import reader_for
from medgenesis.data.sampler import SampleKey, SeededSampler
from medgenesis.data.volume_check import VolumeCheck, with_file
from medgenesis.renamed import renamed_arguments
from medgenesis.transforms.deferred import SEED, Deferred
from medgenesis.transforms.reseeding import ReseededCompose

logger = logging.getLogger(__name__)


class SeededDataset(torch.utils.data.Dataset):
    """Samples made on the fly, each a function of (seed, epoch, index): what the data sets of cubes have in common.

    A subclass says how many there are (`__len__`), what sample `index` is made of (`source`), and of which file
    (`file`).

    Args:
        transform: random transform, from what `source` gives to a sample.
        seed: with the epoch and the index, the only source of randomness.
        keys: what a sample keeps; plain tensors, so that any two samples collate. With a `Deferred` step, its seed too.
    """

    weights: list[float] | None = None

    def __init__(self, transform: Compose, seed: int, keys: Sequence[str]) -> None:
        self.random_transform, self.seed, self.keys = transform, seed, tuple(keys)

    def source(self, index: int) -> dict[str, Any]:
        """The item that sample `index` is made of, the same in every epoch; not to be changed."""
        raise NotImplementedError

    def file(self, index: int) -> str:
        """The file (the first of several that are channels) that sample `index` is made of."""
        raise NotImplementedError

    def __getitem__(self, key: SampleKey | tuple[int, int] | int) -> dict[str, Any]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        source = self.source(index)
        state = np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)[0]
        self.random_transform.set_random_state(seed=int(state))
        try:
            sample = self.random_transform(source)
        except Exception as error:
            named = with_file(error, self.file(index))
            raise named from named.__cause__
        return {name: _plain(sample[name]) for name in (*self.keys, SEED) if name in sample}

    def complete(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch of samples, collated, with what a `Deferred` step has left to be done on the batch's own device."""
        for step in self.random_transform.transforms:
            batch = step.on_batch(batch) if isinstance(step, Deferred) else batch
        return batch

    def sampler(self, shuffle: bool = True, fixed: bool = False) -> SeededSampler:
        """The sampler that belongs to this data set: same seed, its weights when shuffling."""
        weights = self.weights if shuffle else None
        return SeededSampler(len(self), seed=self.seed, shuffle=shuffle, weights=weights, fixed=fixed)

    def loader(
        self, batch_size: int, num_workers: int = 0, *, fixed: bool = False, pin_memory: bool = False
    ) -> torch.utils.data.DataLoader:
        """Batches of this data set by its own sampler: to learn from, or, `fixed`, to judge by.

        Args:
            batch_size: samples of a batch.
            num_workers: processes that prepare them, kept from epoch to epoch.
            fixed: the samples of epoch 0 in order, whatever the epoch; else they are new in every epoch, shuffled, and
                what is left for an incomplete batch is dropped.
            pin_memory: lay batches where a CUDA device copies them from fastest.
        """
        return torch.utils.data.DataLoader(
            self,
            batch_size,
            sampler=self.sampler(shuffle=not fixed, fixed=fixed),
            drop_last=not fixed,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=pin_memory,
        )


class PatchDataset(SeededDataset):
    """Random cubes of volumes, or slabs of volumes and images, each corrupted into a pretext pair.

    Every volume is read once when the data set is made (`screen_volumes`), so a bad file, a volume smaller than the
    cube, a crop criterion that never accepts or a transform that its size does not allow is known before hours are
    spent; this pass fills the cache. What was found good is remembered in `cache_dir`: at the next start only volumes
    that are new, have changed, or are to be kept in memory are read.

    Args:
        data: records with `image` (and `label`, where labels are cut along), as from `load_datalist`.
        preprocessing: deterministic preparation of a volume, as from `medgenesis.data.preprocessing`.
        crop: random transform that cuts one cube, as `RandAcceptedCropd`, or one slab, as `RandSlabd`.
        transform: random transform of the cut cube, as `RandGenesisd`; None returns the plain cube.
        patches_per_image: cubes of each volume in an epoch (32 in Models Genesis); of a record that is a cube already,
            a row of a stack (`cube`), one.
        seed: with the epoch and the index, the only source of randomness.
        cache: "disk" (memory-mapped, bounded memory; needs `cache_dir`), "compressed" (likewise, in less room, at more
            time a cube), "memory" (all volumes in RAM) or "none".
        cache_dir: folder of the disk cache, and of what the check has found (all but "memory").
        on_error: "stop" at the first volume that cannot be used, or "skip" it with a warning.
        report: CSV file that receives the acceptance of each volume, or None.
        keys: what a sample keeps, of what there is; plain tensors, so that any two samples collate. For two views of a
            slab: ("image", "key"), with "target" where context is restored.
        num_workers: processes that read the volumes when the data set is made; the result is the same with any number.
        deferred: leave `transform` to `complete`, which a trainer calls on its device: see `Deferred`.

    Returns:
        `dataset[SampleKey(epoch, index)]` (or `dataset[index]`, epoch 0): a dictionary of tensors (C, *spatial).

    Raises:
        ValueError: an unknown `cache`, a disk cache without folder, or no usable volume.

    Notes:
        Under `torch.distributed` every process must make it: one of each machine reads, and "memory" is shared by those
        of a machine (`checked_volumes`).
    """

    @renamed_arguments(cut="crop", cubes_per_volume="patches_per_image")
    def __init__(
        self,
        data: Sequence[dict],
        preprocessing: Callable,
        crop: Crop,
        transform: Callable | None = None,
        *,
        patches_per_image: int = 32,
        seed: int = 0,
        cache: str = "disk",
        cache_dir: str | Path | None = None,
        on_error: str = "stop",
        report: str | Path | None = None,
        keys: Sequence[str] = ("image", "target", "mask"),
        num_workers: int = 0,
        deferred: bool = False,
    ) -> None:
        super().__init__(chain(crop, transform, deferred), seed, keys)
        self.patches_per_image = patches_per_image
        check = VolumeCheck(crop, [chain(kind, transform) for kind in crop.kinds()], seed=seed)
        self.volumes, self.positions = checked_volumes(
            list(data),
            preprocessing,
            check,
            cache=cache,
            cache_dir=cache_dir,
            on_error=on_error,
            report=report,
            num_workers=num_workers,
        )
        self._read = reader_for(self.volumes, crop)
        self.data = [data[i] for i in self.positions]
        self.patches = np.array([1 if "cube" in record else patches_per_image for record in self.data])
        self._ends = self.patches.cumsum()
        cubes = sum("cube" in record for record in self.data)
        if cubes and patches_per_image > 1:
            logger.info("%d records are cubes already, rows of a stack: one crop of each an epoch", cubes)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def source(self, index: int) -> dict[str, Any]:
        """The volume that cube `index` is cut from."""
        return self._read(self.positions[self._record(index)])

    def file(self, index: int) -> str:
        """The file of the volume that cube `index` is cut from."""
        return str(ensure_tuple(self.data[self._record(index)]["image"])[0])

    def _record(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: must be below {len(self)}, the number of cubes; found {index}. Ask for another.")
        return int(np.searchsorted(self._ends, index % len(self), side="right"))

    @property
    def weights(self) -> list[float] | None:
        """One weight a sample, the records' `weight` shared among a record's samples; None where no record has one."""
        if not any("weight" in record for record in self.data):
            return None
        most = int(self.patches.max())
        return [
            float(record.get("weight", 1.0)) * most / patches
            for record, patches in zip(self.data, self.patches.tolist(), strict=True)
            for _ in range(patches)
        ]


def chain(crop: Callable, transform: Callable | None, deferred: bool = False) -> Compose:
    """What makes a sample of a volume.

    Raises:
        ValueError: a transform to be deferred that cannot be, see `Deferred`.
    """
    if transform is None:
        return ReseededCompose([crop])
    return ReseededCompose([crop, Deferred(transform) if deferred else transform])


def _plain(value: Any) -> Any:
    return value.as_tensor() if isinstance(value, MetaTensor) else value
