"""nnU-Net's resampling: to the plans' spacing, by splines, thick slices slice by slice."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys
from scipy.ndimage import map_coordinates
from skimage.transform import resize

_ANISOTROPY = 3  # spacings that differ by more are resampled within slices first


class ResampleAsPlannedd(MapTransform, InvertibleTransform):
    """Resample images as nnU-Net does, and label maps by the nearest voxel.

    Sides become round(side * spacing / planned spacing). Where the image's own spacing, or else the planned one,
    differs by more than 3 between axes, of which one is the longest, slices across that axis are resampled each by
    itself with splines of `order`, and then along the axis with `order_z` (0: the nearest slice). The inverse is
    linear.

    Args:
        keys: keys of volumes, `MetaTensor` (C, *spatial).
        label_keys: which of the keys are label maps.
        spacing: planned, mm, of each axis.
        order: of the splines, 3 in nnU-Net.
        order_z: along the axis of thick slices.
        separate_z: whether slices are resampled by themselves; None: as said above.
        allow_missing_keys: pass over keys that a record lacks.

    Notes:
        nnU-Net resamples label maps linearly, each label by itself.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing: Sequence[float],
        *,
        label_keys: Sequence[str] = (),
        order: int = 3,
        order_z: int = 0,
        separate_z: bool | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.spacing, self.label_keys = tuple(spacing), tuple(label_keys)
        self.order, self.order_z, self.separate_z = order, order_z, separate_z

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            item[key] = self._resample(item[key], key in self.label_keys)
        return item

    def inverse(self, data: Mapping[str, Any]) -> dict[str, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            shape = self.pop_transform(item[key])[TraceKeys.ORIG_SIZE]
            resized = F.interpolate(_plain(item[key])[None].float(), tuple(shape), mode="trilinear")[0]
            item[key] = _with_affine(resized, item[key])
        return item

    def _resample(self, volume: MetaTensor, is_label: bool) -> MetaTensor:
        old = volume.pixdim.tolist()
        sides = tuple(volume.shape[1:])
        wanted = tuple(max(1, round(mm / new * side)) for mm, new, side in zip(old, self.spacing, sides, strict=True))
        resized = _plain(volume)
        if wanted != sides:
            if is_label:
                resized = F.interpolate(resized[None].float(), wanted, mode="nearest-exact")[0]
            else:
                axis = slice_axis(old, self.spacing, self.separate_z)
                done = [self._splines(channel.numpy(force=True), wanted, axis) for channel in resized]
                resized = torch.from_numpy(np.stack(done))
        result = _with_affine(resized.float(), volume)
        self.push_transform(result, orig_size=sides)
        return result

    def _splines(self, channel: np.ndarray, wanted: tuple[int, ...], axis: int | None) -> np.ndarray:
        how = {"order": self.order, "mode": "edge", "anti_aliasing": False}
        channel = channel.astype(float)
        if axis is None:
            return resize(channel, wanted, **how).astype(np.float32)
        within = tuple(side for index, side in enumerate(wanted) if index != axis)
        slices = np.stack([resize(one, within, **how) for one in np.moveaxis(channel, axis, 0)])
        if len(slices) != wanted[axis]:
            places = np.mgrid[: wanted[axis], : within[0], : within[1]].astype(float)
            places[0] = len(slices) / wanted[axis] * (places[0] + 0.5) - 0.5
            slices = map_coordinates(slices, places, order=self.order_z, mode="nearest")
        return np.moveaxis(slices, 0, axis).astype(np.float32)


def slice_axis(old: Sequence[float], new: Sequence[float], separate: bool | None = None) -> int | None:
    """The axis of thick slices, by spacings (mm) before and after; None: there is none, all axes are alike.

    Args:
        old: spacing of the image.
        new: planned spacing.
        separate: whether there shall be one; None: where spacings differ by more than 3.
    """
    if separate is False:
        return None
    for spacing in (old,) if separate else (old, new):
        if separate or max(spacing) / min(spacing) > _ANISOTROPY:
            longest = [axis for axis, mm in enumerate(spacing) if max(spacing) / mm == 1]
            return longest[0] if len(longest) == 1 else None
    return None


def _plain(volume: torch.Tensor) -> torch.Tensor:
    return volume.as_tensor() if isinstance(volume, MetaTensor) else volume


def _with_affine(resized: torch.Tensor, volume: MetaTensor) -> MetaTensor:
    """The resized voxels on a grid that covers the same box."""
    result = resized.as_subclass(MetaTensor).copy_meta_from(volume)
    steps = [old / new for old, new in zip(volume.shape[1:], resized.shape[1:], strict=True)]
    move = torch.eye(4, dtype=torch.float64)
    for axis, step in enumerate(steps):
        move[axis, axis], move[axis, 3] = step, step / 2 - 0.5
    result.affine = volume.affine.double() @ move
    return result
