"""One feature vector a volume, and the file of them: what discovery starts from."""

import copy
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import Dataset
from torch import nn

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining.geometry import VolumeInfo
from medgenesis.mining.index import VolumeIndex, known_rows
from medgenesis.mining.whole_volumes import IndexedVolume, WholeVolumes
from medgenesis.networks import global_average_pool, network_parts
from medgenesis.progress import track
from medgenesis.storage.fingerprints import fingerprint, transform_fingerprint
from medgenesis.storage.vectors_file import load_vectors, save_vectors

logger = logging.getLogger(__name__)

FORMAT = 1
_SAVE_EVERY = 60.0  # seconds: what a killed run loses at most
_Read = tuple[int, IndexedVolume]  # with its number


@dataclass(frozen=True)
class VolumeFeatures:
    """Feature vectors of volumes: what `discover` starts from.

    Args:
        vectors: (N, F) float32.
        volumes: of the N rows.
        settings: what the vectors depend on beside the files: size, batch size, weights and preprocessing.
        stamps: of the N files, which change when a file does.
    """

    vectors: np.ndarray
    volumes: list[VolumeInfo]
    settings: dict[str, Any] = field(default_factory=dict)
    stamps: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether several vectors are all the same, but for rounding: then any patient would be the nearest."""
        return len(self.vectors) > 1 and bool(np.ptp(self.vectors, axis=0).max() <= 1e-6 * np.abs(self.vectors).max())

    def save(self, path: str | Path) -> None:
        """Write the features as `.npz` (no pickle in it), whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        about = {
            "settings": self.settings,
            "volumes": [asdict(volume) for volume in self.volumes],
            "stamps": self.stamps,
        }
        save_vectors(path, self.vectors.astype(np.float32, copy=False), about, FORMAT)

    @classmethod
    def load(cls, path: str | Path) -> "VolumeFeatures":
        """Read what `save` wrote.

        Raises:
            DatalistError: the file is absent, damaged, or of a newer format.
        """
        path = Path(path)
        if not path.is_file():
            raise DatalistError(
                f"{path}: must be a file of volume features; found none. Check the path, or compute them first."
            )

        def made(vectors: np.ndarray, about: dict[str, Any]) -> VolumeFeatures:
            volumes = [VolumeInfo(**row) for row in about["volumes"]]
            return cls(vectors, volumes, about["settings"], about["stamps"])

        features = load_vectors(path, made, FORMAT, "volume features")
        shape, volumes, stamps = features.vectors.shape, len(features.volumes), len(features.stamps)
        if len(shape) != 2 or not shape[0] == volumes == stamps:
            raise DatalistError(
                f"{path}: must hold one vector and one stamp a volume; found {shape} features of {volumes} volumes "
                f"with {stamps} stamps. Compute them anew."
            )
        return features


class _Row(NamedTuple):
    vector: np.ndarray
    volume: VolumeInfo
    stamp: str


def volume_features(
    network: nn.Module,
    dataset: Dataset,
    size: int | Sequence[int] = (128, 128, 64),
    *,
    path: str | Path | None = None,
    batch_size: int = 1,
    body_threshold: float = 0.1,
    on_error: str = "stop",
) -> VolumeFeatures:
    """The features of a data set of whole volumes, as `extract_features`, without an index kept on the disk.

    Args:
        network: as of `extract_features`.
        dataset: MONAI data set of whole volumes, as of `WholeVolumes`; a `Dataset` or `MappedDataset`.
        size: voxels (X, Y, Z) that a volume is resized to, see `ResizeVolumed`.
        path: as of `extract_features`.
        batch_size: as of `extract_features`.
        body_threshold: above it is body, see `body_box`; a volume that shows none has no box, and a warning.
        on_error: "stop" at the first volume that cannot be used, or "skip" it with a warning.

    Raises:
        ValueError: a setting out of its range, or (with `path`) a preprocessing that cannot be pickled.
        DatalistError: a record that cannot be mined.
        OutputError: a `path` that cannot be written.
        VolumeError: a volume that cannot be used (`on_error="stop"`), or none that can; it may be the file, or that
            its features are not finite.
        IntensityRangeError: likewise, for values that do not fit the preset.

    Notes:
        One volume of full size is in memory at a time.
    """
    volumes = WholeVolumes(dataset, size, body_threshold, on_error)
    if path is not None:
        volumes.settings["preprocessing"] = transform_fingerprint(dataset.transform)
    return extract_features(network, volumes, path=path, batch_size=batch_size, on_error=on_error)


def extract_features(
    network: nn.Module,
    volumes: VolumeIndex | WholeVolumes,
    *,
    path: str | Path | None = None,
    batch_size: int = 1,
    on_error: str = "stop",
    part: bool = False,
) -> VolumeFeatures:
    """The mean of the encoder's last feature map over each volume, resized as a whole to one size.

    Args:
        network: one whose encoder `network_parts` knows; it is not changed. On the device of its weights, in
            evaluation mode.
        volumes: an index, of which only the small copies are read.
        path: file of the features, written at the end, every minute, and when the run is stopped. Rows that it has
            already, of unchanged files and by the same settings, are not computed again. None keeps no file.
        batch_size: volumes that the network sees at a time. Above 1 a network with `norm="batch_always"` mixes them.
        on_error: "stop" at the first volume whose features are not finite, or "skip" it with a warning.
        part: the volumes are a part of a list, so that it is no error where none is left: vectors are then (0, 0).

    Returns:
        The features in the order of the volumes, without those that were skipped.

    Raises:
        ValueError: a setting out of its range.
        DatalistError: a small copy that cannot be read.
        OutputError: a `path` that cannot be written.
        VolumeError: features that are not finite (`on_error="stop"`), or no volume left, but of a `part`.

    References:
        Haghighi et al., Semantic Genesis, arXiv 2007.06959, section 2: the bottleneck, globally average-pooled.
    """
    if batch_size < 1 or on_error not in ("stop", "skip"):
        raise ValueError(
            f'batch_size, on_error: must be at least 1, and "stop" or "skip"; found {batch_size} and {on_error!r}. '
            "Give others."
        )
    encoder = copy.deepcopy(network_parts(network).encoder).eval()  # batch norm of "batch_always" changes its buffers
    settings = {**volumes.settings, "batch_size": batch_size, "weights": fingerprint(encoder)}
    rows = {} if path is None else _computed_before(Path(path), settings, volumes)
    count, saved = len(volumes.records), time.monotonic()
    left = [i for i in range(count) if i not in rows]
    logger.info("features of %d volumes, of which %d are known", count, len(rows))
    bar = track(left, "features of volumes", count, done=len(rows))
    try:
        for batch in _batches(((i, volumes.read(i)) for i in bar), batch_size):
            rows |= _encode(encoder, batch, on_error)
            if path is not None and time.monotonic() - saved > _SAVE_EVERY:
                _gathered(rows, settings).save(path)
                saved = time.monotonic()
    finally:
        bar.close()
        if path is not None and rows:
            _gathered(rows, settings).save(path)
    if not rows and not part:
        raise VolumeError(
            f"dataset: must hold volumes that can be used; found none of {count}. See the warnings above."
        )
    features = _gathered(rows, settings)
    if path is not None and not rows:
        features.save(path)
    return features


def _gathered(rows: Mapping[int, _Row], settings: dict[str, Any]) -> VolumeFeatures:
    ordered = [rows[i] for i in sorted(rows)]
    vectors = np.stack([row.vector for row in ordered]) if ordered else np.empty((0, 0), np.float32)
    return VolumeFeatures(vectors, [row.volume for row in ordered], settings, [row.stamp for row in ordered])


def _computed_before(path: Path, settings: Mapping[str, Any], volumes: VolumeIndex | WholeVolumes) -> dict[int, _Row]:
    """Rows of an earlier run, by the number of the volume now."""
    if not path.exists():
        return {}
    try:
        earlier = VolumeFeatures.load(path)
    except DatalistError as error:
        logger.warning("%s", error)
        return {}
    known = known_rows(earlier, path, settings, volumes)
    return {i: _Row(earlier.vectors[row], info, earlier.stamps[row]) for i, (row, info) in known.items()}


def _batches(read: Iterable[tuple[int, IndexedVolume | None]], batch_size: int) -> Iterator[list[_Read]]:
    batch = []
    for i, volume in read:
        batch += [] if volume is None else [(i, volume)]
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


@torch.no_grad()
def _encode(encoder: nn.Module, batch: Sequence[_Read], on_error: str) -> dict[int, _Row]:
    device = next(encoder.parameters()).device
    volumes = torch.stack([volume.whole for _, volume in batch]).to(device)
    vectors = global_average_pool(encoder(volumes)).float().cpu().numpy()
    rows = {}
    for (i, volume), vector in zip(batch, vectors, strict=True):
        if np.isfinite(vector).all():
            rows[i] = _Row(vector, volume.info, volume.stamp)
            continue
        found = f"{volume.info.image}: features must be finite; found others. Look at the weights, or leave it out."
        if on_error == "stop":
            raise VolumeError(found)
        logger.warning("skipped: %s", found)
    return rows
