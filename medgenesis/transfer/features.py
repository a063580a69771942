"""Features of all images of a data set, computed once by a frozen encoder and kept as a memory-mapped file."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
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
from medgenesis.transfer.counts import check_counts
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
        self.check(record)
        return self.steps({key: record[key] for key in ("image", "cube", "series", "intensity") if key in record})[
            "image"
        ]

    def check(self, record: Any) -> None:
        """Refuse a record, before it is read, whose intensities nothing says."""
        if not record.get("colour") and self.intensity is None and record.get("intensity") is None:
            raise VolumeError(
                f"{record['image']}: its intensities must be known; found no preset in the record, the encoder or the "
                "command. Give --intensity ct, mri_percentile, xray, …"
            )


def check_intensities(encoders: Iterable[Encoder], study_set: StudySet, intensity: Any = None) -> None:
    """Refuse, before the first encoder is asked, images whose intensities one of them would not know.

    Raises:
        VolumeError: there is one, see `ImageReading`.
    """
    for encoder in encoders:
        if encoder.of_record is None:  # else it sees no images
            read = ImageReading(encoder, intensity)
            for record in study_set.records:
                read.check(record)


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
        ValueError: a batch below 1.
        VolumeError: an image that cannot be read or seen, or whose features are not finite, with its name.
    """
    check_counts(batch_size=batch_size)
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
    first_of: dict[bytes, int] = {}
    alike: list[tuple[int, int]] = []
    inputs = (_inputs(encoder, record, read) for record in track(study_set.records, f"images for {encoder.name}"))
    for row, vector in enumerate(pooled_vectors(encoder, inputs, batch_size)):
        if table is None:
            table = np.lib.format.open_memmap(
                path, mode="w+", dtype=np.float32, shape=(len(study_set.records), len(vector))
            )
        if len(vector) != table.shape[1]:
            raise VolumeError(
                f"{study_set.records[row]['image']}: must give as many features as the others, {table.shape[1]}; "
                f"found {len(vector)}. Images and volumes make two data sets; an encoder gives as many for all."
            )
        if not torch.isfinite(vector).all():
            raise VolumeError(
                f"{study_set.records[row]['image']}: its features must be finite; found NaN or infinity. Look at "
                "the image, or leave it out."
            )
        table[row] = vector.numpy()
        first = first_of.setdefault(hashlib.md5(table[row].tobytes(), usedforsecurity=False).digest(), row)
        if first != row:
            alike.append((first, row))
    if table is not None:
        table.flush()
    if alike and encoder.of_record is None:  # numbers of a table may well be alike
        _say_alike(encoder, study_set, alike, len(first_of))


def _say_alike(encoder: Encoder, study_set: StudySet, alike: list[tuple[int, int]], kinds: int) -> None:
    """Tell of images that features cannot tell apart."""
    count = len(study_set.records)
    if kinds == 1:
        logger.warning("%s: the features of all %d images are equal: nothing can be told by them", encoder.name, count)
        return
    apart = sum(study_set.sections[one] != study_set.sections[other] for one, other in alike)
    names = [Path(study_set.records[row]["image"]).name for row in alike[0]]
    logger.warning(
        "%s on %s: %d of %d images have exactly the features of another (%d of them in another section), the first %s "
        "and %s: the same image twice?",
        *(encoder.name, study_set.name, len(alike), count, apart, *names),
    )


def _inputs(encoder: Encoder, record: Any, read: ImageReading) -> Tensor:
    if encoder.of_record is not None:
        return encoder.of_record(record)
    return encoder.prepared(read(record), str(record["image"]))


def pooled_vectors(encoder: Encoder, inputs: Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    """The feature (d,) of each image, on the processor; inputs of several images go through the network together.

    Args:
        encoder: in evaluation mode.
        inputs: of each image its batch (n, channels, *size), as `Encoder.prepared` gives it.
        batch_size: inputs at a time.
    """
    waiting: list[Tensor] = []
    for one in inputs:
        if waiting and (one.shape[1:] != waiting[0].shape[1:] or sum(map(len, waiting)) >= batch_size):
            yield from _means(encoder, waiting, batch_size)
            waiting = []
        waiting.append(one)
    if waiting:
        yield from _means(encoder, waiting, batch_size)


def _means(encoder: Encoder, waiting: list[Tensor], batch_size: int) -> Iterator[Tensor]:
    vectors = torch.cat([encoder.embed(some) for some in torch.cat(waiting).split(batch_size)])
    yield from (part.mean(0) for part in vectors.split([len(one) for one in waiting]))
