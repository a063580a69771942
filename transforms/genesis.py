"""The pretext task of Models Genesis: flip a volume, break it in up to three ways, keep the whole one beside it."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import Flip
from monai.utils import ensure_tuple

from medgenesis.transforms.base import (
    Generator,
    Params,
    RandVolumeTransform,
    RandVolumeTransformd,
    check_probability,
    check_shape,
    like_input,
    plain_batch,
)
from medgenesis.transforms.functional.blocks import count_while
from medgenesis.transforms.inpainting import InPaintParams, RandInPaint
from medgenesis.transforms.local_shuffle import LocalShuffleParams, RandLocalShuffle
from medgenesis.transforms.nonlinear_intensity import NonlinearIntensityParams, RandNonlinearIntensity
from medgenesis.transforms.outpainting import OutPaintParams, RandOutPaint

_MAX_FLIPS = 3


@dataclass(frozen=True)
class GenesisRates:
    """How often each part of the composite is applied; the defaults are those of Models Genesis.

    Attributes:
        flip: probability of one more flip, at most three; the axis is drawn anew, so repeats cancel.
        shuffle: probability of local shuffling.
        nonlinear: probability of the non-linear intensity map.
        paint: probability of painting.
        inpaint: probability that painting is in-painting; else it is out-painting.
    """

    flip: float = 0.4
    shuffle: float = 0.5
    nonlinear: float = 0.9
    paint: float = 0.9
    inpaint: float = 0.2

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check_probability(name, value)


@dataclass(frozen=True, eq=False)
class GenesisParams(Params):
    """What was drawn for a batch: for each part whether it is applied, bool (B,), and its own parameters.

    `flips` (B, n) says which spatial axes are reversed in the end.
    """

    flips: np.ndarray
    shuffled: np.ndarray
    shuffle: LocalShuffleParams
    mapped: np.ndarray
    nonlinear: NonlinearIntensityParams
    inpainted: np.ndarray
    inpaint: InPaintParams
    outpainted: np.ndarray
    outpaint: OutPaintParams

    def expand(self) -> dict[str, Any]:
        """What each part's parameters stand for, by name of the part (also of parts that are not applied)."""
        return {name: getattr(self, name).expand() for name in ("shuffle", "nonlinear", "inpaint", "outpaint")}


class RandGenesis(RandVolumeTransform):
    """Make one example of the pretext task: (C, *spatial) -> (corrupted, target), to be restored.

    In this order: flip (both), local shuffle, non-linear intensity, in- or out-painting (the corrupted one only). The
    target is the flipped, otherwise untouched volume. A flip moves the affine too, as MONAI's Flip does.

    Args:
        preset: "models", the rates of Models Genesis.
        value_range: intensities (low, high) of the data.
        rates: a mapping with the rates that differ from the preset's: flip, shuffle, nonlinear, paint, inpaint.

    Raises:
        VolumeError: (on call) not (C, *spatial), empty, not floating point, or not finite.
        IntensityRangeError: (on call) voxels outside `value_range` by more than 1e-3 of its width.

    References:
        Zhou et al., Models Genesis, Medical Image Analysis 2021, arXiv 2004.07882, section 3.

    Notes:
        The published code draws flip axes from the channel and the first two spatial axes; here from the spatial axes.
    """

    def __init__(
        self,
        preset: str = "models",
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(1.0, value_range)
        if preset != "models":
            raise ValueError(f"preset must be 'models', but is {preset!r}")
        self.rates = GenesisRates(**(rates or {}))
        self.shuffle = RandLocalShuffle()
        self.nonlinear = RandNonlinearIntensity(value_range=value_range)
        self.inpaint = RandInPaint(value_range=value_range)
        self.outpaint = RandOutPaint(value_range=value_range)

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> GenesisParams:
        batch, axes = shape[0], len(shape) - 2
        flips = count_while(rng.random((batch, _MAX_FLIPS)), self.rates.flip)
        axis = (rng.random((batch, _MAX_FLIPS)) * axes).astype(np.int64)
        done = np.arange(_MAX_FLIPS) < flips[:, None]
        times = ((axis[..., None] == np.arange(axes)) & done[..., None]).sum(axis=1)
        shuffled, mapped, painted, inpainted = rng.random((4, batch)) < np.array(
            [[self.rates.shuffle], [self.rates.nonlinear], [self.rates.paint], [self.rates.inpaint]]
        )
        return GenesisParams(
            flips=times % 2 == 1,
            shuffled=shuffled,
            shuffle=self.shuffle.sample(rng, shape),
            mapped=mapped,
            nonlinear=self.nonlinear.sample(rng, shape),
            inpainted=painted & inpainted,
            inpaint=self.inpaint.sample(rng, shape),
            outpainted=painted & ~inpainted,
            outpaint=self.outpaint.sample(rng, shape),
        )

    def apply(self, volume: torch.Tensor, params: GenesisParams) -> tuple[torch.Tensor, torch.Tensor]:
        """The kernel: (B, C, *spatial) -> corrupted and target of the same shape, not in place."""
        check_shape(params, volume, len(params.flips), params.shuffle.spatial_shape)
        flipped = [cube.flip(_spatial_axes(flips)) for cube, flips in zip(volume, params.flips, strict=True)]
        target = torch.stack(flipped)
        return self.corrupt(target, params), target

    def corrupt(self, volume: torch.Tensor, params: GenesisParams) -> torch.Tensor:
        """Everything but the flip: (B, C, *spatial) -> a new tensor of the same shape."""
        corrupted = _apply_where(params.shuffled, self.shuffle, volume, params.shuffle)
        corrupted = _apply_where(params.mapped, self.nonlinear, corrupted, params.nonlinear)
        corrupted = _apply_where(params.inpainted, self.inpaint, corrupted, params.inpaint)
        corrupted = _apply_where(params.outpainted, self.outpaint, corrupted, params.outpaint)
        return corrupted.clone() if corrupted is volume else corrupted

    def __call__(self, img: Any, randomize: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        target = self.prepare(img, randomize)
        check_shape(self.params, plain_batch(target), 1, self.params.shuffle.spatial_shape)
        axes = _spatial_axes(self.params.flips[0])
        if axes:
            target = Flip(spatial_axis=[axis - 1 for axis in axes])(target)
        return like_input(self.corrupt(plain_batch(target), self.params), target), target


def _spatial_axes(flips: np.ndarray) -> list[int]:
    """The axes of (C, *spatial) to reverse."""
    return (np.flatnonzero(flips) + 1).tolist()


def _apply_where(active: np.ndarray, part: RandVolumeTransform, volume: torch.Tensor, params: Params) -> torch.Tensor:
    """Apply a part to the cubes of the batch for which it was drawn; the volume itself if there are none."""
    cubes = np.flatnonzero(active)
    if len(cubes) == 0:
        return volume
    if len(cubes) == len(active):
        return part.apply(volume, params)
    where = torch.from_numpy(cubes).to(volume.device)
    return volume.index_copy(0, where, part.apply(volume[where], params.select(cubes)))


class RandGenesisd(RandVolumeTransformd):
    """Dictionary form of `RandGenesis`: the volume under a key is corrupted, its target stands under another key.

    Args:
        keys: volumes (C, *spatial) of equal spatial shape; one draw for all.
        target_key: where the target goes, one name a key.
        preset: see `RandGenesis`, likewise the following.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        target_key: KeysCollection = "target",
        *,
        preset: str = "models",
        value_range: tuple[float, float] = (0.0, 1.0),
        rates: Mapping[str, float] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, RandGenesis(preset, value_range=value_range, rates=rates), allow_missing_keys)
        self.target_keys = ensure_tuple(target_key)
        if len(set(self.target_keys)) != len(self.keys) or set(self.target_keys) & set(self.keys):
            raise ValueError(
                f"target_key must name one new key for each of keys={self.keys}, but is {self.target_keys}"
            )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        randomize = True
        for key, target_key in self.key_iterator(result, self.target_keys):
            result[key], result[target_key] = self.transform(result[key], randomize=randomize)
            randomize = False
        return result
