"""What the parts of a list have left of mining, joined: the same files as of a run on the whole list."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.data.shards import all_shards
from medgenesis.errors import VolumeError
from medgenesis.mining.features import VolumeFeatures
from medgenesis.mining.geometry import VolumeInfo
from medgenesis.mining.index import VolumeIndex
from medgenesis.mining.run_steps import STEPS
from medgenesis.storage.steps import Steps

logger = logging.getLogger(__name__)


def join_indexes(folder: Path, settings: Mapping[str, Any], images: Sequence[str]) -> VolumeIndex:
    """The index of the whole list, written to the folder; the small copies lie there already.

    Args:
        folder: of the results, with `shards`.
        settings: of the step, which all parts must have.
        images: of the list, in its order.

    Raises:
        ValueError: a part is missing, not finished, or made with other settings or of another list.
        DatalistError: an index is damaged. VolumeError: no volume of any part could be used.
    """
    parts = [VolumeIndex.load(own) for own in _finished(folder, "index", settings)]
    rows = [pair for part in parts for pair in zip(part.volumes, part.stamps, strict=True)]
    if not rows:
        raise VolumeError(
            f"dataset: must hold volumes that can be used; found none of {len(images)}. See what the parts said."
        )
    order = _order([info for info, _ in rows], images)
    if len(rows) < len(images):
        logger.warning("%d of %d volumes were used, %d skipped", len(rows), len(images), len(images) - len(rows))
    joined = VolumeIndex(folder, [rows[i][0] for i in order], parts[0].settings, [rows[i][1] for i in order])
    joined.save()
    return joined


def join_features(folder: Path, settings: Mapping[str, Any], images: Sequence[str]) -> VolumeFeatures:
    """The features of the whole list, written to `features.npz`; arguments and errors as of `join_indexes`."""
    parts = [VolumeFeatures.load(own / "features.npz") for own in _finished(folder, "extract_features", settings)]
    parts = [part for part in parts if part.volumes]
    if not parts:
        raise VolumeError(
            f"dataset: must hold volumes whose features can be used; found none of {len(images)}. See what the parts "
            "said."
        )
    vectors = np.concatenate([part.vectors for part in parts])
    volumes = [volume for part in parts for volume in part.volumes]
    stamps = [stamp for part in parts for stamp in part.stamps]
    order = _order(volumes, images)
    joined = VolumeFeatures(vectors[order], [volumes[i] for i in order], parts[0].settings, [stamps[i] for i in order])
    joined.save(folder / "features.npz")
    return joined


def _finished(folder: Path, step: str, settings: Mapping[str, Any]) -> list[Path]:
    """The folders of all parts, each of which has ended the step, with these settings."""
    found = []
    for shard, own in all_shards(folder):
        if not Steps(own, STEPS).done(step, settings):
            raise ValueError(
                f"shard: {own} must have ended the step {step}; found that it has not. Run --shard {shard}."
            )
        found.append(own)
    return found


def _order(volumes: Sequence[VolumeInfo], images: Sequence[str]) -> list[int]:
    place_of = {image: place for place, image in enumerate(images)}
    return sorted(range(len(volumes)), key=lambda i: place_of[volumes[i].image])
