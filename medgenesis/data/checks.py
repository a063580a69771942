"""What a volume must be before anything is done with it: finite, placed in space, its label on the same grid."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform

from medgenesis.data.intensity import volume_name
from medgenesis.errors import VolumeError

_GRID_TOLERANCE = 0.1  # of a voxel, at the corners of the volume


class CheckVolumed(MapTransform):
    """Refuse volumes with NaN or infinite voxels, no place in space, or a label map on another grid.

    Args:
        keys: keys of the images, `MetaTensor` (C, *spatial).
        label_keys: keys of label maps, compared with the first image.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        VolumeError: with the file's name (both names and both grids for a label map on another grid).
    """

    def __init__(
        self, keys: str | Sequence[str], label_keys: str | Sequence[str] = (), allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_keys = (label_keys,) if isinstance(label_keys, str) else tuple(label_keys)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        checked = dict(data)
        for key in (*self.key_iterator(checked), *(key for key in self.label_keys if key in checked)):
            _check_finite(checked[key])
            _check_affine(checked[key])
        for key in self.label_keys:
            if key in checked:
                _check_whole_numbers(checked[key])
                _check_same_grid(checked[self.keys[0]], checked[key])
        return checked


def _check_finite(volume: torch.Tensor) -> None:
    bad = int((~torch.isfinite(volume)).sum())
    if bad:
        raise VolumeError(
            f"{volume_name(volume)}: {bad} of {volume.numel()} voxels are NaN or infinite: "
            "replace them (by air, say) or leave the file out"
        )


def _check_affine(volume: torch.Tensor) -> None:
    matrix = np.asarray(volume.affine)[:-1, :-1]
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise VolumeError(f"{volume_name(volume)}: its affine cannot be inverted (spacing 0?): write its geometry anew")


def _check_whole_numbers(label: torch.Tensor) -> None:
    if not torch.equal(label, label.round()):
        raise VolumeError(f"{volume_name(label)}: label values must be whole numbers: probabilities, or a scan?")


def _check_same_grid(image: torch.Tensor, label: torch.Tensor) -> None:
    if image.shape[1:] == label.shape[1:]:
        size = image.affine.shape[-1] - 1
        sides = [*image.shape[1:], *[1] * (size + 1 - image.ndim)]  # a 2D image may have a 3D affine
        corners = np.array([(*corner, 1) for corner in product(*((0, side - 1) for side in sides))]).T
        apart = np.linalg.norm(np.asarray(image.affine - label.affine) @ corners, axis=0).max()
        if apart <= _GRID_TOLERANCE * float(image.pixdim.min()):
            return
    raise VolumeError(
        f"{volume_name(label)}: lies on another grid than its image {volume_name(image)}: "
        f"{_grid(label)} against {_grid(image)}: resample the label onto the image's grid, nearest neighbour"
    )


def _grid(volume: torch.Tensor) -> str:
    spacing = ", ".join(f"{float(value):.4g}" for value in volume.pixdim)
    origin = ", ".join(f"{float(value):.4g}" for value in volume.affine[:-1, -1])
    return f"shape {tuple(volume.shape[1:])}, spacing ({spacing}) mm, origin ({origin}) mm"
