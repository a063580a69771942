"""2.5D: a few neighbouring slices of a volume as the channels of an image; an image gives equal slices."""

import copy
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, to_affine_nd
from monai.utils import MetaKeys, ensure_tuple

from medgenesis.errors import VolumeError
from medgenesis.transforms.base import RandVolumeTransform, RandVolumeTransformd, as_volume, like, nothing_drawn, plain
from medgenesis.transforms.checks import check_batch, check_count
from medgenesis.transforms.functional.slabs import take_slab
from medgenesis.transforms.params import Generator, Params, check_shape


@dataclass(frozen=True, eq=False)
class SlabParams(Params):
    """The slab drawn for one volume.

    Attributes:
        axis: spatial axis that the slices lie across.
        slices: (1, k) int64, their places on it; those outside the volume repeat its first or last slice.
        spatial_shape: sides of the volume, voxels.
    """

    axis: int
    slices: np.ndarray
    spatial_shape: tuple[int, int, int]

    def expand(self) -> np.ndarray:
        """The slices (1, k) that are read."""
        return self.slices.clip(0, self.spatial_shape[self.axis] - 1)


class RandSlab(RandVolumeTransform):
    """Take a slab at a random place: a volume (1, X, Y, Z) -> (slices, H, W), the slices as channels.

    The middle slice is uniform over those that have all their neighbours. An image, (1, X, Y) or (1, X, Y, 1), is a
    volume of one slice across Z: it gives equal slices, whatever `axis` says. So a data list may mix both.

    Rows and columns are those of an image as displayed, head (or front) up: across Z, H = Y and W = X;
    across Y, H = Z reversed and W = X; across X, H = Z reversed and W = Y. On the LPS grid W then grows to the
    patient's left (across X: to the back). `functional.slabs` has `to_display` and `from_display` for slices cut
    elsewhere.

    Args:
        slices: how many, an odd number.
        axis: spatial axis that they lie across (0, 1 or 2), or "random", any of the three.
        step: slices from each to the next.
        step_mm: mm from each to the next instead, rounded to whole slices, at least one; it needs the affine, so a
            volume must be a MetaTensor.

    Raises:
        VolumeError: (on call) not (1, X, Y, Z) or (1, X, Y), empty, not floating point, not finite in the slab,
            without an affine where `step_mm` needs it, or another volume than the parameters were drawn for.

    Notes:
        In a volume with too few slices the first and the last one are repeated. A MetaTensor's affine is that of the
        middle slice: its columns are H, W, and the step to the next slice. Only the slab's voxels are read and checked.
    """

    def __init__(self, slices: int = 3, axis: int | str = 2, *, step: int = 1, step_mm: float | None = None) -> None:
        super().__init__()
        self.slices, self.step = check_count("slices", slices), check_count("step", step)
        if self.slices % 2 == 0:
            raise ValueError(
                f"slices: must be an odd number, so that one is the middle; found {slices}. Give one more or one less."
            )
        if axis not in (0, 1, 2, "random"):
            raise ValueError(f'axis: must be 0, 1, 2 or "random"; found {axis!r}. Choose one of them.')
        if step_mm is not None and not (np.isfinite(step_mm) and step_mm > 0):
            raise ValueError(
                f"step_mm: must be a finite number of mm above 0, or None; found {step_mm}. Give None to take each "
                "slice."
            )
        self.axis, self.step_mm = axis, step_mm

    def sample(self, rng: Generator, shape: tuple[int, ...], spacing_mm: Sequence[float] | None = None) -> SlabParams:
        """Draw for one volume of shape (1, 1, X, Y, Z) and this voxel size (None: not known)."""
        sides = tuple(shape[2:])
        axis = int(rng.random() * 3) if self.axis == "random" else self.axis
        flat = sides[2] == 1  # all slices of its slab are the same, however far apart
        axis = 2 if flat else axis
        if flat and (spacing_mm is None or len(spacing_mm) < 3):
            spacing_mm = (1.0,) * 3
        step = self.step_across(axis, spacing_mm)
        half = self.slices // 2
        room = min(half * step, (sides[axis] - 1) // 2)
        middle = room + int(rng.random() * (sides[axis] - 2 * room))
        return SlabParams(axis, middle + step * np.arange(-half, half + 1)[None], sides)

    def randomize(self, data: Any) -> None:
        """Draw for a volume (1, X, Y, Z) or an image (1, X, Y), of any dtype."""
        spacing = data.pixdim if isinstance(data, MetaTensor) else None
        self.params = self.sample(self.R, tuple(_as_batch(as_volume(data)).shape), spacing)

    def step_across(self, axis: int, spacing_mm: Sequence[float] | None) -> int:
        """Slices from each to the next across an axis of a volume of this voxel size (None: not known)."""
        if self.step_mm is None:
            return self.step
        if spacing_mm is None:
            raise VolumeError(
                f"step_mm: must go with an affine, which says how thick slices are; found {self.step_mm} for a volume "
                "without. Give a MetaTensor, or `step` in slices."
            )
        return max(1, round(self.step_mm / float(spacing_mm[axis])))

    def apply(self, volume: torch.Tensor, params: SlabParams) -> torch.Tensor:
        """The kernel: (1, 1, X, Y, Z) -> (1, k, H, W)."""
        check_shape(params, volume, 1, params.spatial_shape)
        return take_slab(volume[0, 0], params.axis, params.slices[0])[None]

    def __call__(self, img: Any, randomize: bool = True) -> torch.Tensor:
        volume = as_volume(img)
        batch = _as_batch(volume)
        if not batch.is_floating_point():
            check_batch(batch, "C", None)
        if randomize:
            self.randomize(img)
        elif self.params is None:
            raise nothing_drawn(self)
        slab = self.apply(batch, self.params)
        check_batch(slab, "C", None)
        return _placed(slab[0], volume, self.params)

    def middle_slice(self, img: Any) -> torch.Tensor:
        """The middle slice (1, H, W) of the slab that was drawn last, in a volume on the same grid, of any dtype."""
        if self.params is None:
            raise nothing_drawn(self)
        volume, params = as_volume(img), self.params
        batch = _as_batch(volume)
        check_shape(params, batch, 1, params.spatial_shape)
        middle = params.slices[0, self.slices // 2 : self.slices // 2 + 1]
        return _placed(take_slab(batch[0, 0], params.axis, middle), volume, params)


def _as_batch(volume: torch.Tensor) -> torch.Tensor:
    """A volume (1, X, Y, Z), or an image (1, X, Y), as (1, 1, X, Y, Z)."""
    if volume.ndim not in (3, 4) or volume.shape[0] != 1 or volume.numel() == 0:
        raise VolumeError(
            "volume: must be a volume (1, X, Y, Z) or an image (1, X, Y), to cut a slab; found shape "
            f"{tuple(volume.shape)}. Add the channel axis (EnsureChannelFirst), or take one channel."
        )
    return plain(volume if volume.ndim == 4 else volume[..., None])[None]


def _placed(slab: torch.Tensor, volume: torch.Tensor, params: SlabParams) -> torch.Tensor:
    """The slab with the meta data of its volume, and the affine of its middle slice."""
    result = like(slab, volume)
    if isinstance(result, MetaTensor):
        slices, sides = params.slices[0], params.spatial_shape
        rows, columns = {0: (2, 1), 1: (2, 0), 2: (1, 0)}[params.axis]
        move = np.zeros((4, 4))
        move[[rows, columns, params.axis, 3], range(4)] = 1, 1, slices[-1] - slices[-2] if len(slices) > 1 else 1, 1
        move[params.axis, 3] = slices[len(slices) // 2]
        if rows == 2:
            move[2, 0], move[2, 3] = -1, sides[2] - 1
        result.meta[MetaKeys.AFFINE] = to_affine_nd(3, volume.affine) @ torch.from_numpy(move).to(volume.affine)
    return result


class RandSlabd(RandVolumeTransformd):
    """Dictionary form of `RandSlab`: the same slab for all keys; of a label map its middle slice.

    Args:
        keys: volumes or images on one grid.
        settings: those of `RandSlab`.
        label_keys: label maps on that grid, of any dtype: (1, X, Y, Z) -> (1, H, W). Of data without any of `keys`
            (`allow_missing_keys`) the place is drawn for the first label map.
        allow_missing_keys: leave out keys that the data lack, instead of raising KeyError.
    """

    array = RandSlab

    def __init__(
        self,
        keys: KeysCollection,
        *settings: Any,
        label_keys: KeysCollection = (),
        allow_missing_keys: bool = False,
        **named: Any,
    ) -> None:
        super().__init__(keys, *settings, allow_missing_keys=allow_missing_keys, **named)
        self.label_keys = ensure_tuple(label_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = super().__call__(data)
        drawn = any(key in data for key in self.keys)
        for key in self.label_keys:
            if key in result or not self.allow_missing_keys:
                if not drawn:
                    self.transform.randomize(result[key])
                    drawn = True
                result[key] = self.transform.middle_slice(result[key])
        return result

    def kinds(self) -> list["RandSlabd"]:
        """This transform; where the axis is drawn, one for each: `PatchDataset` tries slabs of each shape."""
        if self.transform.axis != "random":
            return [self]
        kinds = [copy.deepcopy(self) for _ in range(3)]
        for axis, kind in enumerate(kinds):
            kind.transform.axis = axis
        return kinds

    def acceptance(self, volume: torch.Tensor, draws: int, rng: np.random.RandomState) -> float:
        """Share of random places in a volume that give a slab, which is all: what `PatchDataset` asks of a cut.

        Raises:
            VolumeError: a volume that no slab can be taken from.
        """
        _as_batch(as_volume(volume))
        return 1.0
