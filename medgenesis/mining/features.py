"""One feature vector a volume, and what else mining has to know of it; computed once."""

import copy
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import Dataset
from torch import nn
from tqdm import tqdm

from medgenesis.data.cache import hash_record
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining.checksums import preprocessing_checksum, weights_checksum
from medgenesis.mining.feature_table import VolumeFeatures
from medgenesis.mining.loading import mined_record, skip
from medgenesis.mining.volumes import VolumeInfo, volume_info
from medgenesis.mining.whole import resize_whole, three_sides
from medgenesis.networks import global_average_pool, network_parts

logger = logging.getLogger(__name__)

_SAVE_EVERY = 60.0  # seconds: what a killed run loses at most


class _Row(NamedTuple):
    vector: np.ndarray
    volume: VolumeInfo
    stamp: str


class _Shrunk(NamedTuple):
    position: int
    stamp: str
    volume: VolumeInfo
    tensor: torch.Tensor


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
    """The mean of the encoder's last feature map over each volume, resized as a whole to one size.

    Args:
        network: one whose encoder `network_parts` knows; it is not changed. On the device of its weights, in
            evaluation mode.
        dataset: MONAI data set of whole volumes, `image` (C, X, Y, Z) in [0, 1]: a `Dataset` or `MappedDataset` of
            `records_to_mine` and a preprocessing. Of its records `data` the `patient` and the `section` are noted,
            see `mined_record`; of the volumes shape, spacing and body box.
        size: voxels (X, Y, Z) that a volume is resized to, see `ResizeVolumed`.
        path: file of the features, written at the end, every minute, and when the run is stopped. Rows that it has
            already, of unchanged files and by the same settings, are not computed again. None keeps no file.
        batch_size: volumes that the network sees at a time. Above 1 a network with `norm="batch_always"` mixes them.
        body_threshold: above it is body, see `body_box`; a volume that shows none has no box, and a warning.
        on_error: "stop" at the first volume that cannot be used, or "skip" it with a warning.

    Returns:
        The features in the order of the data set, without the volumes that were skipped.

    Raises:
        ValueError: a setting out of its range, or (with `path`) a preprocessing that cannot be pickled.
        DatalistError: a record that cannot be mined, or a `path` that cannot be written.
        VolumeError: a volume that cannot be used (`on_error="stop"`), or none that can; it may be the file, or that
            its features are not finite.
        IntensityRangeError: likewise, for values that do not fit the preset.

    References:
        Haghighi et al., Semantic Genesis, arXiv 2007.06959, section 2: the bottleneck, globally average-pooled.

    Notes:
        One volume of full size is in memory at a time.
    """
    size = three_sides(size, "size")
    if batch_size < 1 or on_error not in ("stop", "skip"):
        raise ValueError(
            f'`batch_size` must be at least 1 and `on_error` "stop" or "skip", got {batch_size} and {on_error!r}'
        )
    encoder = copy.deepcopy(network_parts(network).encoder).eval()  # batch norm of "batch_always" changes its buffers
    records = [mined_record(record) for record in dataset.data]
    settings = {"size": list(size), "batch_size": batch_size, "body_threshold": body_threshold}
    settings["weights"] = weights_checksum(encoder)
    rows: dict[int, _Row] = {}
    if path is not None:
        settings["preprocessing"] = preprocessing_checksum(dataset.transform)
        rows = _known_rows(path, settings, records)
    left, saved = [i for i in range(len(records)) if i not in rows], time.monotonic()
    logger.info("features of %d volumes, of which %d are known", len(records), len(rows))
    bar = tqdm(left, total=len(records), initial=len(rows), desc="features", unit="volume", disable=None)
    shrunk = (_shrunk(dataset, i, records[i], size, body_threshold, on_error) for i in bar)
    try:
        for batch in _batches(shrunk, batch_size):
            rows |= _encode(encoder, batch, on_error)
            if path is not None and time.monotonic() - saved > _SAVE_EVERY:
                _gathered(rows, settings).save(path)
                saved = time.monotonic()
    finally:
        bar.close()
        if path is not None and rows:
            _gathered(rows, settings).save(path)
    if not rows:
        raise VolumeError(f"none of {len(records)} volumes can be used: see the warnings above, or give other volumes")
    return _gathered(rows, settings)


def _gathered(rows: Mapping[int, _Row], settings: dict[str, Any]) -> VolumeFeatures:
    vectors, volumes, stamps = zip(*(rows[i] for i in sorted(rows)), strict=True)
    return VolumeFeatures(np.stack(vectors), list(volumes), settings, list(stamps))


def _known_rows(path: str | Path, settings: Mapping[str, Any], records: Sequence[Mapping]) -> dict[int, _Row]:
    """Rows of an earlier run, by the number of the record now."""
    if not Path(path).exists():
        return {}
    try:
        earlier = VolumeFeatures.load(path)
    except DatalistError as error:
        logger.warning("%s", error)
        return {}
    differing = [name for name, value in settings.items() if earlier.settings.get(name) != value]
    if differing:
        logger.warning("%s: made with other %s, computed anew", path, " and ".join(differing))
        return {}
    row_of = {stamp: row for row, stamp in enumerate(earlier.stamps)}
    known = {}
    for i, record in enumerate(records):
        stamp = _stamp(record)
        if stamp in row_of:
            row = row_of[stamp]
            # patient and section are the list's affair: a new split needs no new features
            volume = replace(earlier.volumes[row], patient=record["patient"], section=record["section"])
            known[i] = _Row(earlier.vectors[row], volume, stamp)
    return known


def _batches(shrunk: Iterable[_Shrunk | None], batch_size: int) -> Iterator[list[_Shrunk]]:
    batch = []
    for one in shrunk:
        batch += [] if one is None else [one]
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _shrunk(
    dataset: Dataset, i: int, record: Mapping[str, str], size: tuple, body_threshold: float, on_error: str
) -> _Shrunk | None:
    """What is kept of volume i; a function of its own, so that the volume is gone when the next one is read."""
    try:
        stamp = _stamp(record)  # before reading: a file that changes meanwhile must not pass for the read one
        volume = dataset[i]["image"]
        resized = resize_whole(volume, size)
        if not torch.isfinite(resized).all():
            raise VolumeError(f"{record['image']}: has voxels that are not finite: leave the file out, or repair it")
        return _Shrunk(i, stamp, volume_info(volume, record, body_threshold), resized)
    except Exception as error:
        skip(error, on_error)
        return None


@torch.no_grad()
def _encode(encoder: nn.Module, batch: Sequence[_Shrunk], on_error: str) -> dict[int, _Row]:
    device = next(encoder.parameters()).device
    volumes = torch.stack([shrunk.tensor for shrunk in batch]).to(device)
    vectors = global_average_pool(encoder(volumes)).float().cpu().numpy()
    rows = {}
    for shrunk, vector in zip(batch, vectors, strict=True):
        if np.isfinite(vector).all():
            rows[shrunk.position] = _Row(vector, shrunk.volume, shrunk.stamp)
            continue
        found = f"{shrunk.volume.image}: its features are not finite: look at the network's weights, or leave it out"
        if on_error == "stop":
            raise VolumeError(found)
        logger.warning("skipped: %s", found)
    return rows


def _stamp(record: Mapping[str, str]) -> str:
    return hash_record({"image": record["image"]}).decode()
