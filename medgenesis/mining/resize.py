"""Whole volumes at one size, as the auto-encoder sees them."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.transforms.utils import scale_affine
from torch.nn.functional import interpolate

from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name
from medgenesis.networks.unet3d import MULTIPLE

_LINEAR = {"mode": "bilinear", "align_corners": False, "antialias": True}


class ResizeVolumed(MapTransform):
    """Resize whole volumes (C, X, Y, Z) linearly to one size, without aliasing where an axis shrinks.

    As the last step of a preprocessing it makes volumes that an auto-encoder can be trained on, and a disk cache then
    holds the small volumes. (`index_volumes` keeps the same small copies, with what else mining needs to know.)::

        PatchDataset(
            records,
            Preprocessing([*preprocessing().transforms, ResizeVolumed("image")]),
            crop=RandAcceptedCropd("image", (128, 128, 64), criterion="any"),  # of the whole volume: there is one place
            transform=CopyItemsd("image", names="target"),
            patches_per_image=1,
            cache_dir=...,
        )

    Args:
        keys: keys of the images.
        size: voxels (X, Y, Z) of the result, for each axis or one number for all.
        allow_missing_keys: pass over keys that an item lacks.

    Raises:
        ValueError: a side below 1 voxel.
        VolumeError: when called, for what is not (C, X, Y, Z).

    References:
        Haghighi et al., Semantic Genesis, arXiv 2007.06959: the size, 128 x 128 x 64.
    """

    def __init__(
        self, keys: KeysCollection, size: int | Sequence[int] = (128, 128, 64), allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = three_sides(size, "size")

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            volume = item[key]
            resized = resize_whole(volume, self.size)
            if isinstance(volume, MetaTensor):
                scale = torch.as_tensor(scale_affine(tuple(volume.shape[1:]), self.size), dtype=volume.affine.dtype)
                resized = MetaTensor(resized, meta=volume.meta)  # of a plain tensor MONAI makes a copy of them
                resized.affine = volume.affine @ scale
            item[key] = resized
        return item


def resize_whole(volume: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """A volume (C, X, Y, Z) resized linearly to (C, *size), a plain tensor of float32.

    Along an axis that shrinks by a factor f each voxel is the mean over its neighbourhood, weighted by a triangle of
    half width f; at the border, over what there is of it. Along one that grows it is linear interpolation.

    Raises:
        VolumeError: not (C, X, Y, Z).

    Notes:
        MONAI's `Resize(anti_aliasing=True)` smooths with zeros outside, which darkens the border by an amount that
        depends on the number of slices: a feature of the scanner, not of the patient.
    """
    check_axes(volume)
    plain = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
    x, y, z = size
    # PyTorch's filter takes planes: first Y and Z of each x, then X of each y
    resized = interpolate(plain.float(), (y, z), **_LINEAR).transpose(1, 2)
    return interpolate(resized, (x, z), **_LINEAR).transpose(1, 2).contiguous()


def check_axes(volume: torch.Tensor) -> None:
    """Refuse what is not (C, X, Y, Z) (VolumeError)."""
    if volume.ndim != 4:
        raise VolumeError(
            f"{volume_name(volume)}: must be (C, X, Y, Z); found shape {tuple(volume.shape)}. Leave the file out."
        )


def three_sides(size: int | Sequence[int], name: str) -> tuple[int, int, int]:
    """Three whole sides of at least 1 voxel, of one number for all or of three (ValueError)."""
    sides = (size,) * 3 if isinstance(size, int) else tuple(int(side) for side in size)
    if len(sides) != 3 or min(sides) < 1:
        raise ValueError(f"{name}: must be three sides of at least 1 voxel; found {size}. Give three whole numbers.")
    return sides


def check_learnable(size: Sequence[int]) -> None:
    """Refuse small copies that the auto-encoder cannot learn from: it halves their sides three times (ValueError)."""
    if any(side % MULTIPLE for side in size):
        near = [max(MULTIPLE, MULTIPLE * round(side / MULTIPLE)) for side in size]
        raise ValueError(
            f"volume_size: its sides must divide by {MULTIPLE}, for an auto-encoder to be trained; found {list(size)}. "
            f"Give {near}, for example (medgenesis mine: --size {' '.join(map(str, near))})."
        )
