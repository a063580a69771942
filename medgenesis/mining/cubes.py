"""Cubes of discovered patterns, cut from their volumes: one by one, or all that are needed in one pass."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Resize
from monai.utils import ensure_tuple
from torch.nn.functional import adaptive_avg_pool3d

from medgenesis.data.blocks import BlockedVolume, crop_region
from medgenesis.data.crop_criteria import CropCriterion
from medgenesis.data.crops import draw_cube
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.io.naming import volume_name
from medgenesis.mining.resize import three_sides


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
        Volumes may be `BlockedVolume`s too.
    """

    reads_regions = True

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
    volume: torch.Tensor | BlockedVolume,
    origin: Sequence[int],
    region: Sequence[int],
    size: Sequence[int],
    nearest: bool = False,
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
            f"{volume_name(volume)}: must hold the cube from {list(origin)} of {list(region)} voxels; found shape "
            f"{sides}, so the file or the preprocessing is another than when patterns were mined. Undo that, or mine "
            "again."
        )
    cube = crop_region(volume, origin, end)
    if tuple(region) != tuple(size):
        return Resize(size, mode="nearest-exact" if nearest else "trilinear")(cube)
    return cube


class VolumeTask(Protocol):
    """Something that is computed from some of a table's volumes, one after another."""

    @property
    def wanted(self) -> Collection[int]:
        """Numbers of the volumes that it needs, counted as in `PatternTable.volumes`."""

    def take(self, i: int, volume: torch.Tensor) -> None:
        """Use volume i (C, X, Y, Z); it must not be kept."""


def one_pass(load: Callable[[int], torch.Tensor], *tasks: VolumeTask) -> None:
    """Give several tasks the volumes that they need; each volume is loaded once, in their order, one is held at a time.

    Args:
        load: gives volume i, counted as in `PatternTable.volumes`, as (C, X, Y, Z) in [0, 1]: a `VolumeLoader`.
        tasks: what is to be computed.
    """
    for i in sorted({i for task in tasks for i in task.wanted}):
        _give(load(i), i, tasks)


def _give(volume: torch.Tensor, i: int, tasks: Sequence[VolumeTask]) -> None:
    """A function of its own, so that the volume is gone when the next one is loaded."""
    for task in tasks:
        if i in task.wanted:
            task.take(i, volume)


class Sample(NamedTuple):
    """A cube of class `label` in a volume of the table; `origin` None stands for a place that a criterion draws."""

    label: int
    volume: int
    origin: tuple[int, ...] | None


class SmallCubes:
    """A `VolumeTask`: each sample as a vector of mean 0 and length 1, so that products of two are correlations.

    Args:
        samples: cubes to cut.
        cube_size: voxels that are cut.
        size: voxels that each cube is averaged down to; a side larger than the cube's stays as it is.
        criterion: of the places to draw.
        tries: positions drawn for one of them at most.
        seed: with the number of the volume, decides those places.

    Attributes:
        vectors: (samples, voxels) float32, complete when all volumes have been taken.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        cube_size: Sequence[int],
        size: Sequence[int],
        criterion: CropCriterion,
        tries: int = 50,
        seed: int = 0,
    ) -> None:
        self.samples, self.cube_size, self.criterion, self.tries, self.seed = samples, cube_size, criterion, tries, seed
        self.size = [min(sides) for sides in zip(size, cube_size, strict=True)]
        self.wanted: dict[int, list[int]] = {}  # volume -> rows
        for row, sample in enumerate(samples):
            self.wanted.setdefault(sample.volume, []).append(row)
        self.vectors: np.ndarray | None = None

    def take(self, i: int, volume: torch.Tensor) -> None:
        """Cut the cubes of volume i."""
        rng, rows = np.random.RandomState([self.seed, i]), self.wanted[i]
        volume = volume.as_tensor() if isinstance(volume, MetaTensor) else torch.as_tensor(volume)
        cubes = torch.stack([self._small(volume, self.samples[row].origin, rng) for row in rows]).double()
        cubes -= cubes.mean(dim=1, keepdim=True)
        lengths = cubes.norm(dim=1, keepdim=True)
        # what rounding leaves of a constant cube is no pattern
        vectors = torch.where(lengths > 1e-6, cubes / lengths.clamp(min=1e-6), 0.0).float().numpy(force=True)
        if self.vectors is None:
            self.vectors = np.zeros((len(self.samples), vectors.shape[1]), np.float32)
        self.vectors[rows] = vectors

    def _small(self, volume: torch.Tensor, origin: tuple[int, ...] | None, rng: np.random.RandomState) -> torch.Tensor:
        if origin is None:
            origin = draw_cube(volume, self.cube_size, self.criterion, rng, tries=self.tries)[0]
        cube = crop_pattern(volume, origin, self.cube_size, self.cube_size)
        return adaptive_avg_pool3d(torch.as_tensor(cube).float(), self.size).flatten()


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
            f'{name}: the "{field}" of its item must be {what} from {least}; found {found!r}. Give items of a pattern '
            "table (`medgenesis mine` makes one)."
        )
    return numbers
