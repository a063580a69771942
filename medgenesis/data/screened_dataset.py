"""The data set of fine-tuning: prepared volumes, checked and cached in one pass when it is made."""

import copy
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import Dataset

from medgenesis.data.checked_volumes import checked_volumes
from medgenesis.data.disk_cache import is_random
from medgenesis.data.pipeline import Preprocessing
from medgenesis.data.sampler import SampleKey
from medgenesis.data.volume_check import VolumeCheck

logger = logging.getLogger(__name__)


class ScreenedDataset(Dataset):
    """MONAI's `CacheDataset` that checks the volumes in the pass that caches them, so that each is read once.

    The steps before the first random one prepare a volume; a file that they refuse is named when the data set is made.
    `data` are then the records that can be used.

    Args:
        data: records with file names, as from `load_datalist`. None at all gives an empty data set, and a warning.
        transform: one flat `Compose`, deterministic steps first, as from `medgenesis.data.preprocessing`.
        cache: "memory" (all volumes in RAM), "disk" (memory-mapped, bounded memory; needs `cache_dir`),
            "compressed" (likewise, in less room, at more time a volume) or "none".
        cache_dir: folder of the disk cache, and of what the check has found (all but "memory").
        cache_num: volumes kept in memory, the first ones; None keeps all.
        repeats: how often an epoch holds each record; its cached volume is one.
        on_error: "stop" at the first volume that cannot be used, or "skip" it with a warning.
        num_workers: processes that read; the result is the same with any number.
        seed: with the epoch and the index of a `SampleKey`, all that chance depends on, so that a restart repeats it.

    Raises:
        ValueError: an unknown `cache` or `on_error`, a disk cache without folder, or a `transform` that begins at
            random.
        VolumeError: a volume that cannot be used (`on_error="stop"`), or none that can.
        IntensityRangeError: likewise, for values that do not fit the preset.

    Notes:
        Under `torch.distributed` every process must make it: one of each machine reads, and "memory" is shared by those
        of a machine (`checked_volumes`).
    """

    def __init__(
        self,
        data: Sequence[dict],
        transform: Callable,
        *,
        cache: str = "memory",
        cache_dir: str | Path | None = None,
        cache_num: int | None = None,
        repeats: int = 1,
        on_error: str = "stop",
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(list(data), transform)
        if repeats < 1:
            raise ValueError(f"`repeats`: must be at least 1; found {repeats}. Give 1 to take each record once.")
        self.seed = seed
        self.repeats, self._copies = repeats, cache == "memory"
        self._first_random = self.transform.get_index_of_first(is_random)
        if self._first_random == 0:
            raise ValueError(
                "`transform`: must begin with the deterministic steps that read a volume; found "
                f"{type(self.transform.transforms[0]).__name__} first. Put the steps of `preprocessing` before it."
            )
        self.volumes, self.positions = Dataset([]), []
        if not self.data:
            logger.warning("a data set without records: the section of the datalist is empty")
            return
        self.volumes, self.positions = checked_volumes(
            self.data,
            Preprocessing(self.transform.transforms[: self._first_random]),
            VolumeCheck(),
            cache=cache,
            cache_dir=cache_dir,
            cache_num=cache_num,
            on_error=on_error,
            num_workers=num_workers,
        )
        self.data = [self.data[i] for i in self.positions]

    def __len__(self) -> int:
        return len(self.positions) * self.repeats

    def __getitem__(self, index: Any) -> Any:
        """The item of a `SampleKey`, whose chance is a function of it; or of MONAI's indices and slices."""
        if not isinstance(index, SampleKey):
            return super().__getitem__(index)
        state = np.random.SeedSequence([self.seed, index.epoch, index.index]).generate_state(1)[0]
        self.transform.set_random_state(seed=int(state))
        return self._transform(index.index)

    def _transform(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"index: must be below {len(self)}, the items of the data set; found {index}. Ask for another."
            )
        item = self.volumes[self.positions[index % len(self.positions)]]
        if self._first_random is None:
            return item
        if self._copies:  # as MONAI's `CacheDataset`: random steps may write into what they are given
            item = copy.deepcopy(item)
        return self.transform(item, start=self._first_random)
