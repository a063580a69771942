"""The cube of a discovered pattern, cut from its volume."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Resize, SpatialCrop
from monai.utils import ensure_tuple

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.io.naming import volume_name
from medgenesis.mining.whole import three_sides


class CropPatternd(MapTransform):
    """Cut the cube that an item of a `PatternTable` describes; deterministic.

    The item has `origin` (first voxel) and `size` (voxels cut) beside the loaded volumes, and its `class`.

    Args:
        keys: keys of the images (C, X, Y, Z), of which all are cut alike.
        size: voxels (X, Y, Z) of the result: what was cut in another size is resized linearly.
        class_key: key that receives the number of the class, an int, which collates to int64 (B,).
        label_keys: keys of label maps, cut alike and resized by the nearest voxel.

    Raises:
        ValueError: a side below 1 voxel.
        DatalistError: when called, for an item without one of the fields, or with one that is no whole number.
        VolumeError: when called, for a cube that leaves its volume.

    Notes:
        Only the cube's voxels are read, so a memory-mapped volume stays on the disk. Cubes own their memory.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        size: int | Sequence[int] = (64, 64, 32),
        class_key: str = "class",
        label_keys: KeysCollection = (),
    ) -> None:
        super().__init__(keys)
        self.label_keys = ensure_tuple(label_keys)
        self.size, self.class_key = three_sides(size, "size"), class_key

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        item = dict(data)
        name = volume_name(item[self.keys[0]])
        origin, region = _whole_numbers(item, "origin", name), _whole_numbers(item, "size", name, least=1)
        for key in (*self.keys, *self.label_keys):
            item[key] = crop_pattern(item[key], origin, region, self.size, nearest=key in self.label_keys)
        (item[self.class_key],) = _whole_numbers(item, "class", name, count=1)
        return item


def crop_pattern(
    volume: torch.Tensor, origin: Sequence[int], region: Sequence[int], size: Sequence[int], nearest: bool = False
) -> torch.Tensor:
    """The cube of `region` voxels from `origin` on of a volume (C, X, Y, Z), as (C, *size), in memory of its own.

    What was cut in another size is resized linearly, or by the nearest voxel.

    Raises:
        VolumeError: the cube leaves the volume.
    """
    end = [start + side for start, side in zip(origin, region, strict=True)]
    sides = tuple(volume.shape[1:])
    if len(sides) != len(end) or any(stop > side for stop, side in zip(end, sides, strict=True)):
        raise VolumeError(
            f"{volume_name(volume)}: the cube from {list(origin)} of {list(region)} voxels leaves its shape {sides}: "
            "the file or the preprocessing is another than when patterns were mined: undo that, or mine again"
        )
    cube = SpatialCrop(roi_start=origin, roi_end=end)(volume)
    if tuple(region) != tuple(size):
        return Resize(size, mode="nearest-exact" if nearest else "trilinear")(cube)
    return cube.clone(memory_format=torch.contiguous_format)  # a view would drag the volume along to the trainer


def _whole_numbers(item: Mapping[str, Any], field: str, name: str, count: int = 3, least: int = 0) -> list[int]:
    found = item.get(field)
    try:
        values = [found] if count == 1 else list(found)
        numbers = [int(value) for value in values]
        good = numbers == values and len(numbers) == count and min(numbers) >= least
    except (TypeError, ValueError):
        good = False
    if not good:
        what = f"{count} whole numbers" if count > 1 else "a whole number"
        raise DatalistError(
            f'{name}: the "{field}" of its item must be {what} from {least}, got {found!r}: give items of a pattern '
            "table (`medgenesis mine` makes one)"
        )
    return numbers
