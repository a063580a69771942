"""What mining knows of a volume without holding it: its file, its patient, its geometry."""

import logging
import os.path
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from torch.nn.functional import avg_pool3d

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.io.naming import volume_name
from medgenesis.mining.resize import check_axes

logger = logging.getLogger(__name__)

_COARSE_SIDE = 64  # voxels: noise is averaged away, and a couch becomes thin enough to be opened away


@dataclass(frozen=True)
class VolumeInfo:
    """A preprocessed volume: its file, its patient and its geometry.

    Args:
        image: file name; made absolute.
        patient: key of the patient; one patient may have several volumes.
        section: of the datalist: "training" or "validation".
        shape: voxels (X, Y, Z) after preprocessing.
        spacing_mm: voxel size after preprocessing, in mm.
        body_box: first voxel of the body and the voxel behind its last, ((x, y, z), (x, y, z)), as from `body_box`;
            None where none was found, or coordinates are never relative to the body.
    """

    image: str
    patient: str
    section: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    body_box: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def __post_init__(self) -> None:
        box = self.body_box
        plain = {
            "image": os.path.normpath(Path(self.image).absolute()),
            "patient": str(self.patient),
            "shape": tuple(int(side) for side in self.shape),
            "spacing_mm": tuple(float(side) for side in self.spacing_mm),
            "body_box": None if box is None else tuple(tuple(int(voxel) for voxel in corner) for corner in box),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)

    def check(self, volume: torch.Tensor) -> torch.Tensor:
        """The volume (C, X, Y, Z), where it still has the shape that is noted here.

        Raises:
            VolumeError: another shape.
        """
        if tuple(volume.shape[1:]) != self.shape:
            raise VolumeError(
                f"{self.image}: must have the shape {self.shape} that it had when it was mined; found "
                f"{tuple(volume.shape[1:])}, so the file or the preprocessing has changed. Undo that, or mine again."
            )
        return volume


def volume_info(volume: torch.Tensor, record: Mapping[str, str], body_threshold: float = 0.1) -> VolumeInfo:
    """What is noted of a prepared volume (C, X, Y, Z); without body box, and with a warning, where it shows no body.

    Args:
        volume: in [0, 1].
        record: its `image`, `patient` and `section`.
        body_threshold: see `body_box`.

    Raises:
        VolumeError: not (C, X, Y, Z).
    """
    check_axes(volume)
    spacing = volume.pixdim.tolist() if isinstance(volume, MetaTensor) else (1.0, 1.0, 1.0)
    try:
        box = body_box(volume, body_threshold)
    except VolumeError as error:
        logger.warning("%s", str(error))  # an error itself holds the frames that it passed, and with them the volume
        box = None
    return VolumeInfo(**record, shape=volume.shape[1:], spacing_mm=spacing, body_box=box)


def body_box(volume: torch.Tensor, threshold: float = 0.1) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel of the body along each axis, and the voxel behind its last.

    The volume is averaged over blocks (about 64 a side), thresholded and opened by a cube of 3 blocks, which parts the
    body from a couch or a hose; the largest connected piece is the body. So the box is exact to a block or two, and
    leaves out what is thinner than three.

    Args:
        volume: (C, X, Y, Z) in [0, 1]; its first channel is looked at.
        threshold: above it a block is body: the default is -800 HU on the `ct` scale, which lungs may fall below,
            but no skin does. For MR with a bright background take more, for dark scans less.

    Raises:
        VolumeError: nothing lies above the threshold.
    """
    channel = volume.as_tensor()[:1] if isinstance(volume, MetaTensor) else volume[:1]
    block = [max(1, side // _COARSE_SIDE) for side in channel.shape[1:]]
    # ceil_mode: the last, incomplete block counts too, else the box would end before the volume does
    coarse = avg_pool3d(channel.float(), block, ceil_mode=True, count_include_pad=False)[0].numpy(force=True)
    body = coarse > threshold
    opened = ndimage.binary_opening(np.pad(body, 1, mode="edge"), np.ones((3, 3, 3)))[1:-1, 1:-1, 1:-1]
    pieces, count = ndimage.label(opened if opened.any() else body)
    if count == 0:
        raise VolumeError(
            f"{volume_name(volume)}: must have voxels above {threshold}; found none, so it shows no body. Lower the "
            "threshold (`body_threshold`), check the intensity preset, or leave the file out."
        )
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    spans = ndimage.find_objects(pieces)[largest - 1]
    first = tuple(span.start * voxels for span, voxels in zip(spans, block, strict=True))
    sides = zip(spans, block, channel.shape[1:], strict=True)
    return first, tuple(min(span.stop * voxels, side) for span, voxels, side in sides)


def large_enough(volumes: Sequence[VolumeInfo], cube_size: Sequence[int], on_error: str = "stop") -> list[int]:
    """Indices of the volumes that a cube fits into.

    Args:
        volumes: to choose from.
        cube_size: voxels (X, Y, Z).
        on_error: "stop" at the first that is too small, or "skip" such volumes with a warning.

    Raises:
        VolumeError: a volume smaller than the cube (`on_error="stop"`).
        DatalistError: the same file twice.
        ValueError: another `on_error`.
    """
    if on_error not in ("stop", "skip"):
        raise ValueError(f'on_error: must be "stop" or "skip"; found {on_error!r}. Choose one of them.')
    good, seen = [], set()
    for i, volume in enumerate(volumes):
        if volume.image in seen:
            raise DatalistError(f"{volume.image}: must be in the list once; found it twice. Leave one out.")
        seen.add(volume.image)
        if all(side >= wanted for side, wanted in zip(volume.shape, cube_size, strict=True)):
            good.append(i)
            continue
        found = f"{volume.image}: must be at least as large as the cube {tuple(cube_size)}; found shape {volume.shape}"
        if on_error == "stop":
            raise VolumeError(f'{found}. Choose a smaller `cube_size`, `on_error="skip"`, or leave the file out.')
        logger.warning("skipped: %s", found)
    return good
