"""Features of all images of a data set, computed once by a frozen encoder and kept as a memory-mapped file."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medgenesis.data.pipeline import preprocessing
from medgenesis.errors import VolumeError
from medgenesis.io.colour import load_colour
from medgenesis.progress import track
from medgenesis.storage.atomic import make_folder, replacing, write_text
from medgenesis.storage.fingerprints import fingerprint
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.study_set import StudySet

logger = logging.getLogger(__name__)

_VERSION = 1  # of what is computed: another one computes anew


@dataclass(frozen=True, eq=False)
class Features:
    """Vectors of all records of a data set.

    Args:
        vectors: float32 (N, d), memory-mapped, read-only.
        told: the settings that they follow from.
    """

    vectors: np.ndarray
    told: dict[str, Any]


class ImageReading:
    """Reads a record's image (C, *spatial) in [0, 1], as an encoder must see it.

    Args:
        encoder: whose spacing, and whose intensities where nothing else says them, count.
        intensity: preset of the data set's images; a record's own goes first.

    Raises:
        VolumeError: (on call) a file that cannot be used, or whose intensities nothing says.
    """

    def __init__(self, encoder: Encoder, intensity: Any = None) -> None:
        self.intensity = encoder.intensity if intensity is None else intensity
        channels = encoder.channels if encoder.dims == 3 else None
        preset = "unit" if self.intensity is None else self.intensity  # None would pass over a record's own
        self.steps = preprocessing(intensity=preset, spacing_mm=encoder.spacing_mm, in_channels=channels)

    def __call__(self, record: Any) -> Tensor:
        if record.get("colour"):
            return load_colour(record["image"])
        if self.intensity is None and record.get("intensity") is None:
            raise VolumeError(
                f"{record['image']}: its intensities must be known; found no preset in the record, the encoder or the "
                "command. Give --intensity ct, mri_percentile, xray, …"
            )
        return self.steps({key: record[key] for key in ("image", "cube", "series", "intensity") if key in record})[
            "image"
        ]


def study_features(
    encoder: Encoder, study_set: StudySet, folder: str | Path, *, intensity: Any = None, batch_size: int = 32
) -> Features:
    """The features of a data set: read where they are, else computed; memory does not grow with the number of images.

    The file's name is a fingerprint of the encoder's weights and settings, the files of the data set, the geometry and
    the intensities: nothing stale is read.

    Args:
        encoder: frozen.
        study_set: whose images.
        folder: keeps `<fingerprint>.npy` and `.json`.
        intensity: see `ImageReading`.
        batch_size: inputs at a time.

    Raises:
        VolumeError: an image that cannot be read or seen, or whose features are not finite, with its name.
    """
    told = {
        "version": _VERSION,
        "dataset (fingerprint)": study_set.fingerprint,
        **encoder.shown(intensity),
    }
    path = Path(folder) / f"{fingerprint(told)}.npy"
    if not path.is_file():
        make_folder(folder)
        with replacing(path) as beside:
            _compute(encoder, study_set, ImageReading(encoder, intensity), batch_size, beside)
        write_text(path.with_suffix(".json"), json.dumps(told, indent=1) + "\n")
        logger.info("features of %s on %s: %s", encoder.name, study_set.name, path)
    return Features(np.load(path, mmap_mode="r"), told)


def _compute(encoder: Encoder, study_set: StudySet, read: ImageReading, batch_size: int, path: Path) -> None:
    table: np.ndarray | None = None
    for rows, vectors in _by_batches(encoder, study_set, read, batch_size):
        if table is None:
            shape = (len(study_set.records), vectors.shape[1])
            table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        if vectors.shape[1] != table.shape[1]:
            raise VolumeError(
                f"{study_set.records[rows[0]]['image']}: must give as many features as the others, {table.shape[1]}; "
                f"found {vectors.shape[1]}. Images and volumes make two data sets."
            )
        for row, vector in zip(rows, vectors, strict=True):
            if not torch.isfinite(vector).all():
                raise VolumeError(
                    f"{study_set.records[row]['image']}: its features must be finite; found NaN or infinity. Look at "
                    "the image, or leave it out."
                )
            table[row] = vector.numpy()
    if table is not None:
        table.flush()


def _by_batches(
    encoder: Encoder, study_set: StudySet, read: ImageReading, batch_size: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Rows of some images and their vectors; inputs of several images go through the network together."""
    waiting: list[tuple[int, Tensor]] = []
    for row, record in enumerate(track(study_set.records, f"images for {encoder.name}")):
        if encoder.of_record is not None:
            inputs = encoder.of_record(record)
        else:
            inputs = encoder.prepared(read(record), str(record["image"]))
        if waiting and (
            inputs.shape[1:] != waiting[0][1].shape[1:] or sum(len(one) for _, one in waiting) >= batch_size
        ):
            yield _embedded(encoder, waiting, batch_size)
            waiting = []
        waiting.append((row, inputs))
    if waiting:
        yield _embedded(encoder, waiting, batch_size)


def _embedded(encoder: Encoder, waiting: list[tuple[int, Tensor]], batch_size: int) -> tuple[list[int], Tensor]:
    inputs = torch.cat([one for _, one in waiting])
    vectors = torch.cat([encoder.embed(some) for some in inputs.split(batch_size)])
    means = [part.mean(0) for part in vectors.split([len(one) for _, one in waiting])]
    return [row for row, _ in waiting], torch.stack(means)
