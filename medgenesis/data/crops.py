"""Random cubes, cut on the fly from whole volumes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform, Resize, SpatialPad

from medgenesis.data.arrays import as_tensor
from medgenesis.data.blocks import BlockedVolume, crop_region
from medgenesis.data.crop_criteria import CropCriterion, get_criterion
from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name
from medgenesis.renamed import renamed_arguments
from medgenesis.transforms.reseeding import Reseeded

# What the published borders are of the room for starts in a 512 x 512 x 300 volume.
_BORDER_SHARE = (100 / (512 - 64), 100 / (512 - 64), 30 / (300 - 32))


class RandAcceptedCropd(Reseeded, RandomizableTransform, MapTransform):
    """Cut one random cube that a rule accepts.

    Positions are drawn until one is accepted, `tries` at most; then the one nearest to acceptance is taken. The item
    receives `distance_to_acceptance`: 0.0 for an accepted cube, else how far it is from acceptance.

    Args:
        keys: keys of the images (C, *spatial), scaled to [0, 1]; the first channel of the first is what the rule sees.
        size: voxels of the cube, for each axis or one number for all.
        criterion: "lung", "foreground", "any", or a `CropCriterion` with its own settings.
        label_keys: keys of label maps, cut alike (and resampled by the nearest voxel).
        border: share of the free room (side - size) that is kept clear at either end, 0 to 0.5, for each axis or one
            for all; None takes the rule's: see `border_voxels`.
        tries: positions drawn at most.
        size_mm: side of the region that is cut, in mm, for each axis or one for all: round(size_mm / spacing) voxels,
            then resampled linearly to `size`; None cuts `size` voxels.
        pad: pad what a volume is too small for with 0 on both sides (the rule sees what was cut, without the padding);
            False makes it an error.
        corners_key: where the cube's near and far corner go, (2, n), as shares of the volume's sides (padding lies
            outside of 0 to 1); None: nowhere.

    Raises:
        ValueError: a setting out of its range.
        VolumeError: when called, for a volume smaller than the cube, or without an affine where `size_mm` needs it, and
            for images and label maps on another grid than the first image.
        KeyError: when called, for an item without one of `keys` and `label_keys`.

    Notes:
        Only the candidates' voxels are read, so a memory-mapped volume stays on the disk. Cubes own their memory.
        Volumes may be `BlockedVolume`s too.
    """

    reads_regions = True

    @renamed_arguments(rule="criterion")
    def __init__(
        self,
        keys: KeysCollection,
        size: int | Sequence[int],
        criterion: str | CropCriterion = "lung",
        *,
        label_keys: Sequence[str] = (),
        border: float | Sequence[float] | None = None,
        tries: int = 50,
        size_mm: float | Sequence[float] | None = None,
        pad: bool = False,
        corners_key: str | None = None,
    ) -> None:
        label_keys = (label_keys,) if isinstance(label_keys, str) else tuple(label_keys)
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if np.min(size) < 1 or tries < 1:
            raise ValueError(f"size, tries: must be at least 1; found {size} and {tries}. Give larger ones.")
        if border is not None and not (np.min(border) >= 0 and np.max(border) <= 0.5):
            raise ValueError(
                f"border: must be a share from 0 to 0.5 of the free room; found {border}. None takes the criterion's."
            )
        self.label_keys, self.size, self.size_mm = label_keys, size, size_mm
        self.criterion, self.border, self.tries, self.pad = get_criterion(criterion), border, tries, pad
        self.corners_key = corners_key

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        item = dict(data)
        if absent := [key for key in (*self.keys, *self.label_keys) if key not in item]:
            raise KeyError(
                f"{', '.join(map(str, absent))}: `keys` and `label_keys` must be in every item; found "
                f"{', '.join(map(str, item))}. Leave cases without it out, or give a crop of the keys that are there."
            )
        item |= {key: as_tensor(item[key]) for key in (*self.keys, *self.label_keys)}
        volume = item[self.keys[0]]
        self._check_grids(item)
        region, inside = self._region(volume), self._inside(volume)
        self.randomize(volume)
        for key in (*self.keys, *self.label_keys):
            item[key] = self._crop(item[key], region, inside, nearest=key in self.label_keys)
        item["distance_to_acceptance"] = self.distance_to_acceptance
        if self.corners_key is not None:
            item[self.corners_key] = self._corners(volume, region)
        return item

    def randomize(self, data: torch.Tensor) -> None:
        """Draw the start of a cube in a volume (C, *spatial)."""
        super().randomize(None)
        size = self._inside(data)
        self.start, self.distance_to_acceptance = draw_cube(
            data, size, self.criterion, self.R, border=self.border, tries=self.tries
        )

    def kinds(self) -> list["RandAcceptedCropd"]:
        """This one: all cubes have one shape."""
        return [self]

    def acceptance(self, volume: torch.Tensor, draws: int, rng: np.random.RandomState) -> float:
        """Share of random positions in a volume (C, *spatial) that the rule accepts.

        Raises:
            VolumeError: a volume smaller than the cube.
        """
        return acceptance(volume, self._inside(volume), self.criterion, rng, border=self.border, draws=draws)

    def padding(self, volume: torch.Tensor) -> float:
        """Share of each cube of a volume (C, *spatial) that is padding, 0 where the volume is as large as the cube."""
        return 1 - float(np.prod(self._inside(volume)) / np.prod(self._region(volume)))

    def _check_grids(self, item: Mapping[str, Any]) -> None:
        first = self.keys[0]
        grid = tuple(item[first].shape[1:])
        for key in (*self.keys[1:], *self.label_keys):
            if tuple(item[key].shape[1:]) != grid:
                raise VolumeError(
                    f"{key}: must lie on the grid of {first}, {grid}; found {tuple(item[key].shape[1:])}. Resample it "
                    "first."
                )

    def _region(self, volume: torch.Tensor) -> tuple[int, ...]:
        """Voxels that one cube covers, padding included."""
        rank = volume.ndim - 1
        wanted = np.size(self.size if self.size_mm is None else self.size_mm)
        if wanted not in (1, rank):
            raise VolumeError(
                f"{volume_name(volume)}: must have as many spatial axes as the cube has sides, {wanted}; found {rank}. "
                "Leave the file out, or give the cube one side for each axis."
            )
        if self.size_mm is None:
            return tuple(np.broadcast_to(self.size, rank).tolist())
        if not isinstance(volume, (MetaTensor, BlockedVolume)):
            raise VolumeError(
                f"size_mm: must go with an affine, which says how large voxels are; found {self.size_mm} for a volume "
                "without. Give a MetaTensor, or `size` alone."
            )
        voxels = np.rint(np.broadcast_to(self.size_mm, rank) / volume.pixdim.numpy()[:rank]).astype(int)
        return tuple(np.maximum(voxels, 1).tolist())

    def _inside(self, volume: torch.Tensor) -> tuple[int, ...]:
        """Voxels that are cut from the volume itself."""
        region, sides = self._region(volume), tuple(volume.shape[1:])
        if not self.pad and any(side < wanted for side, wanted in zip(sides, region, strict=True)):
            raise VolumeError(
                f"{volume_name(volume)}: must be as large as the cube, {region}; found {sides}. "
                "Choose a smaller cube, `pad=True`, or leave the file out."
            )
        return tuple(min(side, wanted) for side, wanted in zip(sides, region, strict=True))

    def _corners(self, volume: torch.Tensor, region: tuple[int, ...]) -> torch.Tensor:
        inside = np.array(self._inside(volume))
        near = np.array(self.start) - (np.array(region) - inside) // 2  # as SpatialPad shares what is padded
        corners = np.stack([near, near + region]) / np.array(volume.shape[1:])
        return torch.as_tensor(corners, dtype=torch.float32)

    def _crop(
        self, volume: torch.Tensor | BlockedVolume, region: tuple[int, ...], inside: tuple[int, ...], nearest: bool
    ) -> torch.Tensor:
        end = [start + side for start, side in zip(self.start, inside, strict=True)]
        cube = crop_region(volume, self.start, end)
        if self.pad and inside != region:
            cube = SpatialPad(region)(cube)
        if self.size_mm is not None:
            mode = "nearest-exact" if nearest else ("linear", "bilinear", "trilinear")[cube.ndim - 2]
            cube = Resize(np.broadcast_to(self.size, cube.ndim - 1).tolist(), mode=mode)(cube)
        return cube


def border_voxels(
    sides: Sequence[int], size: Sequence[int], criterion: CropCriterion, border: float | Sequence[float] | None = None
) -> list[tuple[int, int]]:
    """Voxels kept free before and behind a cube along each axis.

    `border` given: floor(border * room) at either end, with room = side - size. Else the rule's own: for `lung` the
    published 100 and 101 in the plane, 30 and 34 along Z, wherever they leave room for a cube (sides from 265, depth
    from 96 for the published cube); in a smaller volume floor(share * room) at either end, where the share is what the
    published border takes in a 512 x 512 x 300 volume: 100/448 in the plane, 30/268 along Z. Other rules keep none.

    Args:
        sides: of the volume, in voxels.
        size: of the cube, in voxels, no larger than the volume.
        criterion: of the cubes.
        border: share of the room, 0 to 0.5.
    """
    room = [side - wanted for side, wanted in zip(sides, size, strict=True)]
    if border is not None:
        shares = np.broadcast_to(border, len(room))
        return [(int(share * free),) * 2 for share, free in zip(shares, room, strict=True)]
    if not criterion.border:
        return [(0, 0)] * len(room)
    published = zip(room, criterion.border, _BORDER_SHARE, strict=False)
    return [own if free >= sum(own) else (int(share * free),) * 2 for free, own, share in published]


def draw_cube(
    volume: torch.Tensor,
    size: Sequence[int],
    criterion: str | CropCriterion,
    rng: np.random.RandomState,
    *,
    border: float | Sequence[float] | None = None,
    tries: int = 50,
) -> tuple[tuple[int, ...], float]:
    """Start (voxels) and distance to acceptance of the first accepted of `tries` random cubes, else of the one nearest
    to it.

    Args:
        volume: (C, *spatial) in [0, 1].
        size: of the cube, in voxels, no larger than the volume.
        criterion: which cubes are accepted.
        rng: source of the positions.
        border: as in `border_voxels`.
        tries: positions drawn at most.
    """
    criterion = get_criterion(criterion)
    volume, borders = _plain(volume), border_voxels(volume.shape[1:], size, criterion, border)
    best: tuple[tuple[int, ...], float] | None = None
    for _ in range(tries):
        start, distance_to_acceptance = _candidate(volume, size, criterion, rng, borders)
        if best is None or distance_to_acceptance < best[1]:
            best = (start, distance_to_acceptance)
        if distance_to_acceptance == 0:
            break
    return best


def acceptance(
    volume: torch.Tensor,
    size: Sequence[int],
    criterion: str | CropCriterion,
    rng: np.random.RandomState,
    *,
    border: float | Sequence[float] | None = None,
    draws: int = 50,
) -> float:
    """Share of `draws` random cubes that the rule accepts; arguments as in `draw_cube`."""
    criterion = get_criterion(criterion)
    volume, borders = _plain(volume), border_voxels(volume.shape[1:], size, criterion, border)
    return sum(_candidate(volume, size, criterion, rng, borders)[1] == 0 for _ in range(draws)) / draws


def _plain(volume: torch.Tensor | BlockedVolume) -> torch.Tensor | BlockedVolume:
    return volume.as_tensor() if isinstance(volume, MetaTensor) else as_tensor(volume)


def _candidate(volume, size, criterion, rng, borders) -> tuple[tuple[int, ...], float]:
    start = tuple(
        int(rng.randint(near, side - wanted - far + 1))
        for side, wanted, (near, far) in zip(volume.shape[1:], size, borders, strict=True)
    )
    depth = size[-1]
    slices = [slice(first, first + wanted) for first, wanted in zip(start, size, strict=True)]
    slices[-1] = slice(start[-1], start[-1] + depth + criterion.lookahead)
    return start, criterion.distance_to_acceptance(volume[(slice(0, 1), *slices)][0], depth)
