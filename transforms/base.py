"""What all transforms share: drawn parameters as values, the checks of the input, and the array and dictionary faces.

A transform is what was drawn plus a pure kernel: `sample(rng, shape) -> Params`, `apply(volume, params) -> volume` on
(B, C, *spatial). The faces below add MONAI's calling conventions and nothing else, so they cannot drift apart.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_tensor

from medgenesis.errors import IntensityRangeError, VolumeError

Generator = np.random.RandomState | np.random.Generator
_TOLERANCE = 1e-3  # of the range's width: the rounding of a resampling or of half precision is no other intensity scale


@dataclass(frozen=True, eq=False)
class Params:
    """What was drawn for a batch. Arrays have the batch as first axis; everything else is shared by its cubes."""

    def select(self, cubes: np.ndarray) -> "Params":
        """The parameters of some cubes of the batch (indices)."""
        drawn = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen = {k: v[cubes] for k, v in drawn.items() if isinstance(v, np.ndarray)}
        chosen |= {k: v.select(cubes) for k, v in drawn.items() if isinstance(v, Params)}
        return replace(self, **chosen)

    def record(self) -> dict[str, Any]:
        """The same as plain numbers and lists, ready for JSON and logs."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Params):
        return value.record()
    return value.tolist() if isinstance(value, np.ndarray) else value


def draw_seeds(rng: Generator, batch: int) -> np.ndarray:
    """One 32-bit seed a cube, int64 (B,)."""
    return (rng.random(batch) * 2**32).astype(np.int64)


def check_shape(params: Params, volume: torch.Tensor, batch: int, spatial_shape: tuple[int, ...]) -> None:
    """Refuse to replay parameters on a volume of another shape than they were drawn for."""
    if (volume.shape[0], *volume.shape[2:]) != (batch, *spatial_shape):
        raise VolumeError(
            f"{type(params).__name__} were drawn for {batch} cubes of {tuple(spatial_shape)} voxels, but the volume "
            f"has shape {tuple(volume.shape)}: draw again, or give all keys the same spatial shape"
        )


def check_probability(name: str, value: float) -> float:
    """Return a probability, or say what is wrong with it."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a probability in [0, 1], but is {value}")
    return float(value)


def check_fractions(name: str, value: tuple[float, float]) -> tuple[float, float]:
    """Return a (least, greatest) pair of fractions of a side, or say what is wrong with it."""
    low, high = value
    if not 0 <= low <= high < 1:
        raise ValueError(f"{name} must be two rising fractions of a side in [0, 1), but is {tuple(value)}")
    return float(low), float(high)


def check_count(name: str, value: int, least: int = 1) -> int:
    """Return a whole number, or say what is wrong with it."""
    if int(value) != value or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, but is {value}")
    return int(value)


def check_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """Return an intensity range as floats, or say what is wrong with it."""
    low, high = value_range
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"value_range must be two finite numbers, low < high, but is {tuple(value_range)}")
    return float(low), float(high)


def check_volume(volume: torch.Tensor, value_range: tuple[float, float] | None) -> None:
    """Refuse what no transform here can work on; `volume` is (C, *spatial) with two or three spatial axes."""
    if volume.ndim not in (3, 4):
        raise VolumeError(
            f"the volume must be (C, H, W) or (C, X, Y, Z), but has shape {tuple(volume.shape)}: add the channel "
            "axis first (EnsureChannelFirst)"
        )
    if volume.numel() == 0:
        raise VolumeError(f"the volume must hold at least one voxel, but has shape {tuple(volume.shape)}")
    if not volume.is_floating_point():
        raise VolumeError(
            f"the volume must be floating point, but is {volume.dtype}: convert and scale it (ScaleIntensityRange)"
        )
    least, greatest = (float(bound) for bound in torch.aminmax(volume))
    if not (np.isfinite(least) and np.isfinite(greatest)):
        raise VolumeError("the volume must be finite, but holds NaN or infinity: repair or skip it before")
    if value_range is None:
        return
    low, high = value_range
    slack = _TOLERANCE * (high - low)
    if least < low - slack or greatest > high + slack:
        raise IntensityRangeError(
            f"the volume must lie in value_range=({low:g}, {high:g}), but spans {least:g} to {greatest:g}: scale it "
            "first (ScaleIntensityRange with clip=True), or give the transform the value_range that the data have"
        )


class RandVolumeTransform(RandomizableTransform, ABC):
    """The array face of a transform: (C, *spatial) in, the same out.

    A subclass says how parameters are drawn (`sample`) and what they do (`apply`). What was drawn last stands in
    `params`; calling with `randomize=False` replays it.

    Args:
        prob: probability that the transform does anything.
        value_range: intensities (low, high) that the data are in; None where intensities do not matter.
    """

    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]

    def __init__(self, prob: float = 1.0, value_range: tuple[float, float] | None = None) -> None:
        super().__init__(check_probability("prob", prob))
        self.value_range = None if value_range is None else check_range(value_range)
        self.params: Params | None = None

    @abstractmethod
    def sample(self, rng: Generator, shape: tuple[int, ...]) -> Params:
        """Draw for a batch of this shape (B, C, *spatial)."""

    @abstractmethod
    def apply(self, volume: torch.Tensor, params: Params) -> torch.Tensor:
        """The kernel: (B, C, *spatial) -> the same, not in place."""

    def randomize(self, data: Any) -> None:
        """Decide whether to do anything, and draw for this volume (C, *spatial) if so."""
        super().randomize(None)
        self.params = self.sample(self.R, (1, *data.shape)) if self._do_transform else None

    def prepare(self, img: Any, randomize: bool) -> torch.Tensor:
        """Bring the input into MONAI's tensor type, check it, and draw if asked."""
        volume = convert_to_tensor(img, track_meta=get_track_meta())
        check_volume(plain_batch(volume)[0], self.value_range)  # attributes of a MetaTensor are slow to read
        if randomize:
            self.randomize(volume)
        elif self._do_transform and self.params is None:
            raise RuntimeError(f"{type(self).__name__} was called with randomize=False before anything was drawn")
        return volume

    def __call__(self, img: Any, randomize: bool = True) -> torch.Tensor:
        volume = self.prepare(img, randomize)
        if not self._do_transform:
            return volume
        return like_input(self.apply(plain_batch(volume), self.params), volume)


def plain_batch(volume: torch.Tensor) -> torch.Tensor:
    """(C, *spatial) with or without meta data -> (1, C, *spatial) without."""
    return (volume.as_tensor() if isinstance(volume, MetaTensor) else volume)[None]


def like_input(batch: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
    """(1, C, *spatial) -> (C, *spatial) of the type, affine and meta data of `volume`."""
    return convert_to_dst_type(batch[0], dst=volume)[0]


class RandVolumeTransformd(RandomizableTransform, MapTransform):
    """The dictionary face: one draw, applied to all keys by the array face in `transform`.

    Args:
        keys: volumes (C, *spatial) of equal spatial shape.
        transform: the array face.
        allow_missing_keys: leave out keys that the data lack, instead of raising KeyError.
    """

    backend = RandVolumeTransform.backend

    def __init__(self, keys: KeysCollection, transform: RandVolumeTransform, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, 1.0)
        self.transform = transform

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None):
        super().set_random_state(seed, state)
        self.transform.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        randomize = True
        for key in self.key_iterator(result):
            result[key] = self.transform(result[key], randomize=randomize)
            randomize = False
        return result
