"""The images of a data set, prepared once for an encoder: batches to learn from, and whole images to judge by."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from medgenesis.data import Preprocessing, ScreenedDataset, SeededSampler
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import ImageReading
from medgenesis.transfer.protocols.finetune_settings import Finetune
from medgenesis.transfer.protocols.training_inputs import RandInputsd, ReadImaged, collate_inputs
from medgenesis.transfer.study_set import StudySet

_KEYS = ("image", "cube", "series", "intensity", "colour", "class")


class TrainingData:
    """Reads images as an encoder must see them, each once.

    Args:
        encoder: whose spacing and intensities count.
        study_set: with classes.
        intensity: see `ImageReading`.
        cache: "disk" (memory-mapped), "compressed", "memory" or "none".
        cache_dir: of the disk cache.
        workers: processes that prepare images.

    Raises:
        VolumeError: (on use) an image that cannot be used.
    """

    def __init__(
        self, encoder: Encoder, study_set: StudySet, intensity: Any, cache: str, cache_dir: Path, workers: int
    ) -> None:
        self.encoder, self.study_set, self.workers = encoder, study_set, workers
        self.cache = {"cache": cache, "cache_dir": cache_dir, "num_workers": workers}
        self.intensity, self.read = intensity, ReadImaged(ImageReading(encoder, intensity))
        self._whole: dict[tuple[int, ...], ScreenedDataset] = {}

    def loader(self, rows: np.ndarray, settings: Finetune) -> DataLoader:
        """Shuffled batches of random inputs, `image` (B, k, channels, *size) and `class` (B,); see `RandInputsd`."""
        drawn = RandInputsd(self.encoder, settings.least_share, settings.flip, settings.inputs)
        steps = Preprocessing([self.read, drawn])
        dataset = ScreenedDataset(self._records(rows), steps, seed=settings.seed, **self.cache)
        return DataLoader(
            dataset,
            settings.batch_size,
            sampler=SeededSampler(len(dataset), settings.seed),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            collate_fn=collate_inputs,
        )

    def inputs(self, rows: Sequence[int] | np.ndarray) -> Iterator[Tensor]:
        """Of each image all that the encoder sees of it, (n, channels, *size)."""
        key = tuple(map(int, rows))
        if key not in self._whole:
            self._whole[key] = ScreenedDataset(self._records(rows), Preprocessing([self.read]), **self.cache)
        dataset = self._whole[key]
        for index in range(len(key)):
            item = dataset[index]
            yield self.encoder.prepared(item["image"], item["name"])

    @cached_property
    def width(self) -> int:
        """Features of an image."""
        inputs = self.encoder.prepared(self.read(self.study_set.records[0])["image"], "")
        return self.encoder.embed(inputs[:1]).shape[1]

    def _records(self, rows: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        records = (self.study_set.records[int(row)] for row in rows)
        return [{key: record[key] for key in _KEYS if key in record} for record in records]
