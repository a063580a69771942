"""What a volume must be before anything is done with it: finite, placed in space, its label on the same grid."""

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from medgenesis.data.labels import GREATEST_LABEL
from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name

_GRID_TOLERANCE = 0.1  # of a voxel, at the corners of the volume
_ROUNDED = 1e-3  # how far from whole numbers computed label values are by rounding alone


class CheckVolumed(MapTransform):
    """Refuse volumes with NaN or infinite voxels, or without a place in space.

    Args:
        keys: keys of the volumes, `MetaTensor` (C, *spatial).
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        VolumeError: with the file's name.
    """

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        for key in self.key_iterator(data):
            _check_placed(data[key])
            _check_finite(data[key])
            _check_affine(data[key])
        return dict(data)


class CheckLabeld(MapTransform):
    """Refuse label maps on another grid than their image, or with values that are no whole numbers below 2^24.

    Meant for volumes that have been turned to the same axis codes: a label map stored with an axis the other way round
    (as DICOM converters do) is on the same grid.

    Args:
        keys: keys of the label maps, `MetaTensor` (C, *spatial).
        image_key: key of the image.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        VolumeError: with both files' names and both grids.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        for key in self.key_iterator(data):
            _check_placed(data[key])
            _check_placed(data[self.image_key])
            check_whole_numbers(data[key])
            _check_same_grid(data[self.image_key], data[key])
        return dict(data)


class CheckClassesd(MapTransform):
    """Refuse label maps with values that are no class: below 0, or not below the number of classes.

    Meant for label maps as they are learnt from, merged already.

    Args:
        keys: keys of the label maps, (C, *spatial).
        num_classes: how many there are, background included.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        VolumeError: with the file's name and the values.
    """

    def __init__(self, keys: KeysCollection, num_classes: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.num_classes = num_classes

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        for key in self.key_iterator(data):
            least, most = int(data[key].min()), int(data[key].max())
            if least < 0 or most >= self.num_classes:
                raise VolumeError(
                    f"{volume_name(data[key])}: labels must be from 0 to {self.num_classes - 1}; found {least} to "
                    f"{most}. Group them by `label_merge`, or change `num_classes`."
                )
        return dict(data)


def _check_placed(volume: Any) -> None:
    if not isinstance(volume, MetaTensor):
        raise VolumeError(
            f"volume: must be a MetaTensor, whose affine says where it lies; found a {type(volume).__name__}. "
            "Read files by LoadVolumed, or give MetaTensor(volume, affine=…)."
        )


def _check_finite(volume: torch.Tensor) -> None:
    finite = np.isfinite(volume.numpy(force=True))  # by NumPy: five times as fast as by PyTorch
    if not finite.all():  # counted only then: that takes as long as the rest of the check
        bad = int((~finite).sum())
        raise VolumeError(
            f"{volume_name(volume)}: voxels must be finite; found NaN or infinity in {bad} of {volume.numel()}. "
            "Replace them, in a scan by air for example, in a label map by 0, the background; or leave the file out."
        )


def _check_affine(volume: torch.Tensor) -> None:
    affine = np.asarray(volume.affine)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:-1, :-1])) < 1e-9:
        raise VolumeError(
            f"{volume_name(volume)}: its affine must be invertible; found one that is not (spacing 0?). Write its "
            "geometry anew."
        )


def check_whole_numbers(label: torch.Tensor) -> None:
    """Raise VolumeError, with the file's name, where a value is NaN, no whole number, or above `GREATEST_LABEL`."""
    whole = label.round()
    if not torch.equal(label, whole):
        _check_finite(label)
        if torch.allclose(label, whole, rtol=0, atol=_ROUNDED):
            one = float(label[label != whole][0])
            raise VolumeError(
                f"{volume_name(label)}: label values must be whole numbers; found {one:.6g} for example, whole but for "
                f"rounding (all within {_ROUNDED}). Write it anew with rounded values as integers: "
                "numpy.rint(label).astype(numpy.int16)."
            )
        raise VolumeError(
            f"{volume_name(label)}: label values must be whole numbers; found others, as of probabilities or a scan. "
            "Give the label map, or threshold it."
        )
    if label.numel() and float(label.max()) > GREATEST_LABEL:  # 2^24 may have been 2^24 + 1
        raise VolumeError(
            f"{volume_name(label)}: labels must be {GREATEST_LABEL} at most, to be told apart as float32; found "
            f"{float(label.max()):.0f}. Number them anew, from 1."
        )


def _check_same_grid(image: torch.Tensor, label: torch.Tensor) -> None:
    if image.shape[1:] == label.shape[1:]:
        size = image.affine.shape[-1] - 1
        sides = [*image.shape[1:], *[1] * (size + 1 - image.ndim)]  # a 2D image may have a 3D affine
        corners = np.array([(*corner, 1) for corner in product(*((0, side - 1) for side in sides))]).T
        apart = np.linalg.norm(np.asarray(image.affine - label.affine) @ corners, axis=0).max()
        if apart <= _GRID_TOLERANCE * float(image.pixdim.min()):
            return
    raise VolumeError(
        f"{volume_name(label)}: must lie on the grid of its image {volume_name(image)}; found another grid, "
        f"{_grid(label)} against {_grid(image)}. Resample the label onto the image's grid, by the nearest neighbour."
    )


def _grid(volume: torch.Tensor) -> str:
    spacing = ", ".join(f"{float(value):.4g}" for value in volume.pixdim)
    origin = ", ".join(f"{float(value):.4g}" for value in volume.affine[:-1, -1])
    return f"shape {tuple(volume.shape[1:])}, spacing ({spacing}) mm, origin ({origin}) mm"


def check_answers(answers: torch.Tensor | np.ndarray, name: str) -> None:
    """Raise VolumeError, with the name of the image, where one of its answers is NaN or infinite."""
    values = torch.as_tensor(answers)
    least, most = map(float, values.aminmax()) if values.numel() else (0.0, 0.0)  # no copy: scores are gigabytes
    if not (math.isfinite(least) and math.isfinite(most)):
        raise VolumeError(
            f"{name}: answers must be finite; found {least if math.isfinite(most) else most}. Check the weights and "
            "the image, or leave it out."
        )
