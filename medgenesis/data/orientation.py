"""Steps onto the standard grid: volumes are turned and resampled, images are at most shrunk."""

from collections.abc import Mapping, Sequence
from typing import Any

import nibabel
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, Orientation, Orientationd, Resize, Spacingd
from torch import Tensor

from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name

_LINE = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}  # by which an axis grows


def is_flat(volume: Tensor) -> bool:
    """Whether (C, *spatial) is flat."""
    return volume.ndim == 3


class ReorientVolumesd(Orientationd):
    """MONAI's `Orientationd`; images that are as displayed already (all that are no NIfTI) pass, and keys that lack.

    Of a flat image MONAI warns, each time, that it has fewer axes than "LPS" has codes.

    Raises:
        VolumeError: a flat image that lies in another plane than the first two codes: a sagittal slice, for "LPS".
    """

    def __call__(self, data: Mapping[str, Any], lazy: bool | None = None) -> dict[str, Any]:
        own = {key: data[key] for key in self.keys if key in data and not self._is_displayed(data[key])}
        return {**data, **super().__call__(own, lazy)}

    def inverse(self, data: Mapping[str, Any]) -> dict[str, Any]:
        own = {key: data[key] for key in self.keys if key in data and not _passed(Orientation, data[key])}
        return {**data, **super().inverse(own)}

    def _is_displayed(self, volume: MetaTensor) -> bool:
        if not is_flat(volume):
            return False
        axes, codes = nibabel.aff2axcodes(volume.affine.numpy()), self.ornt_transform.axcodes[:2]
        if {_LINE.get(axis) for axis in axes[:2]} != {_LINE[code] for code in codes}:
            raise VolumeError(
                f"{volume_name(volume)}: a 2D image must lie in the plane of {codes[0]} and {codes[1]}, as an axial "
                f"slice does; found axes that grow to {axes[0]} and {axes[1]}. Save it as a volume of one slice, or as "
                "PNG."
            )
        return axes[:2] == tuple(codes)


class ResampleSpacingd(Spacingd):
    """MONAI's `Spacingd` for volumes; images, which know no millimetres, pass, and keys that lack.

    It is shown its own keys only: from 1.6.0 on it fails on records with other keys that begin alike, and MONAI Label
    puts `image_path` beside `image`.
    """

    def __call__(self, data: Mapping[str, Any], lazy: bool | None = None) -> dict[str, Any]:
        own = self._volumes(data)
        return {**data, **super().__call__(own, lazy)} if own else dict(data)

    def inverse(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {**data, **super().inverse(self._volumes(data))}

    def _volumes(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {key: data[key] for key in self.keys if key in data and not is_flat(data[key])}


class LimitImageSized(InvertibleTransform, MapTransform):
    """Shrink images whose longer side is above a limit; smaller ones, and volumes, pass.

    Args:
        keys: keys of images and label maps.
        side: pixels of the longer side, at least 32.
        mode: one for each key: "bilinear" averages the area that a pixel covers, and enlarges bilinearly when inverted;
            "nearest" takes the nearest pixel.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        ValueError: a side below 32.
    """

    def __init__(
        self, keys: KeysCollection, side: int, mode: str | Sequence[str] = "bilinear", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if side < 32:
            raise ValueError(f"max_image_side: must be at least 32 pixels; found {side}. Give a larger one.")
        self.side = side
        modes = [mode] * len(self.keys) if isinstance(mode, str) else mode
        down = {"bilinear": "area", "nearest": "nearest-exact"}
        self.resize = {
            key: Resize(side, size_mode="longest", mode=down[one]) for key, one in zip(self.keys, modes, strict=True)
        }

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            if is_flat(item[key]) and max(item[key].shape[1:]) > self.side:
                item[key] = self.resize[key](item[key])
        return item

    def inverse(self, data: Mapping[str, Any]) -> dict[str, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            if is_flat(item[key]) and not _passed(Resize, item[key]):
                how = item[key].applied_operations[-1]["extra_info"]
                how["mode"] = "bilinear" if how["mode"] == "area" else how["mode"]  # "area" would enlarge to blocks
                item[key] = self.resize[key].inverse(item[key])
        return item


def _passed(transform: type, volume: Tensor) -> bool:
    """Whether it is an image to which this was not the last thing done."""
    applied = volume.applied_operations if isinstance(volume, MetaTensor) else []
    return is_flat(volume) and not (applied and applied[-1]["class"] == transform.__name__)
