"""Label maps stored as several channels, one-hot or layered, brought to the one label map that is learnt from."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from monai.transforms import MapTransform

from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name

logger = logging.getLogger(__name__)


_said: set[tuple[bool, int]] = set()  # in this process


class JoinLabelLayersd(MapTransform):
    """Bring label maps of several channels (one-hot, layers of `.seg.nrrd`, one file a structure) to one channel.

    Channels of 0 and 1: channel c becomes label c where each voxel is in just one channel (one-hot, background first),
    else c + 1. Channels that hold labels of their own, no label in two, keep them.

    Args:
        keys: keys of the label maps, (C, *spatial); one channel passes as it is.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        VolumeError: with the file's name: a voxel in two channels, or values that are no labels.
    """

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        joined = dict(data)
        for key in self.key_iterator(joined):
            if joined[key].shape[0] > 1:
                joined[key] = _joined(joined[key])
        return joined


def _say_kind(one_hot: bool, channels: int, file: str) -> None:
    """Which numbering was taken, of the first file of each kind: a class that fills a whole crop looks like one-hot."""
    if (one_hot, channels) in _said:
        return
    _said.add((one_hot, channels))
    if one_hot:
        taken = f"each voxel is in just one: one-hot, the first the background, labels 0 to {channels - 1}"
    else:
        taken = f"some voxels are in none: layers, labels 1 to {channels}"
    logger.warning(
        "%s: a label map of %d channels of 0 and 1, %s. If both kinds are said of one data set, store one whole number "
        "a voxel",
        file,
        channels,
        taken,
    )


def _joined(label: torch.Tensor) -> torch.Tensor:
    marked = (label != 0).sum(0, keepdim=True)
    twice = int((marked > 1).sum())
    if twice or not torch.equal(label, label.round()):
        found = f"overlapping ones ({twice} voxels)" if twice else "values that are no whole numbers"
        raise VolumeError(
            f"{volume_name(label)}: channels of a label map must not overlap, and hold whole numbers; found "
            f"{label.shape[0]} channels, {found}. Export one label map, one whole number a voxel."
        )
    if label.min() >= 0 and label.max() <= 1:
        first = 0 if bool((marked == 1).all()) else 1
        _say_kind(first == 0, label.shape[0], volume_name(label))
        numbers = torch.arange(first, first + label.shape[0], dtype=label.dtype, device=label.device)
        return (label * numbers.reshape(-1, *[1] * (label.ndim - 1))).sum(0, keepdim=True)
    own = [set(torch.unique(channel[channel != 0]).tolist()) for channel in label]
    if sum(map(len, own)) > len(set().union(*own)):
        raise VolumeError(
            f"{volume_name(label)}: layers of a label map must have labels of their own; found {label.shape[0]} "
            "channels with a label in two of them. Export one label map, one whole number a voxel."
        )
    return label.sum(0, keepdim=True)
