"""The pretext task of Models Genesis and Semantic Genesis: break a volume, keep the whole one beside it."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.utils import MetaKeys, ensure_tuple

from medgenesis.transforms.base import (
    BatchedVolumeTransform,
    RandVolumeTransform,
    RandVolumeTransformd,
    apply_where,
    like,
)
from medgenesis.transforms.channel_ranges import checked_ranges, extents
from medgenesis.transforms.checks import check_batch
from medgenesis.transforms.genesis_presets import PARTS, PRESETS, preset_rates
from medgenesis.transforms.inplane_elastic import InPlaneElasticParams, RandInPlaneElastic
from medgenesis.transforms.local_shuffle import LocalShuffleParams, RandLocalShuffle
from medgenesis.transforms.nonlinear_intensity import NonlinearIntensityParams, RandNonlinearIntensity
from medgenesis.transforms.painting import PaintParams, RandInPaint, RandOutPaint
from medgenesis.transforms.params import Generator, Params, check_shape


@dataclass(frozen=True, eq=False)
class GenesisParams(Params):
    """What was drawn for a batch.

    Attributes:
        spatial_shape: the cubes' sides, voxels.
        flips: (B, n) bool, which spatial axes are reversed in the end.
        applied: (B, 5) bool, which of elastic, shuffle, nonlinear, inpaint, outpaint are applied, in this order.
        elastic: parameters of the part for all cubes; None if it is applied to none. Likewise the following.
        shuffle: see `elastic`.
        nonlinear: see `elastic`.
        inpaint: see `elastic`.
        outpaint: see `elastic`.
    """

    spatial_shape: tuple[int, ...]
    flips: np.ndarray
    applied: np.ndarray
    elastic: InPlaneElasticParams | None
    shuffle: LocalShuffleParams | None
    nonlinear: NonlinearIntensityParams | None
    inpaint: PaintParams | None
    outpaint: PaintParams | None

    def expand(self) -> dict[str, Any]:
        """What the parameters of each part that is applied stand for, by its name."""
        return {name: part.expand() for name in PARTS if (part := getattr(self, name)) is not None}


class RandGenesis(RandVolumeTransform):
    """Make one example of the pretext task: (C, *spatial) -> (corrupted, target), to be restored.

    The preset "models" is Models Genesis: flip (both), then local shuffle, non-linear intensity, and in- or
    out-painting, each by a rate of its own. "semantic" is Semantic Genesis: in-plane elastic deformation, then one of
    the four, the shuffle having 5 windows and a painting one block. The target is the flipped, otherwise untouched
    volume; without a flip it shares the input's memory. A flip moves both affines too, as MONAI's Flip does.

    Args:
        preset: "models" or "semantic".
        value_range: intensities (low, high) of the data.
        rescale: bring each volume's own least .. greatest value to `value_range`, always, instead of refusing what
            lies outside; corrupted and target alike.
        channel_ranges: instead of `value_range`, of each channel its (low, high), or None for percentiles 0.5 and 99.5
            of the cube: z-scored data have no fixed range. The corrupted cube is clipped to it and changed within it;
            the target keeps its values.
        rates: a mapping with the rates that differ from the preset's, see `ModelsRates` and `SemanticRates`.

    Raises:
        ValueError: `channel_ranges` with another `value_range`, or with `rescale`.
        VolumeError: (on call) not (C, *spatial), empty, not floating point, or not finite; not as many channels as
            `channel_ranges`.
        IntensityRangeError: (on call) voxels outside `value_range` by more than 1e-3 of its width.

    References:
        Zhou et al., Models Genesis, Medical Image Analysis 2021, arXiv 2004.07882, section 3.
        Haghighi et al., Semantic Genesis, MICCAI 2020, arXiv 2007.06959, section 2.

    Notes:
        The published code draws flip axes from the channel and the first two spatial axes; here from the spatial axes.
    """

    params: GenesisParams

    def __init__(
        self,
        preset: str = "models",
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        rescale: bool = False,
        channel_ranges: Sequence[Sequence[float] | None] | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(1.0, value_range, rescale)
        self.channel_ranges = checked_ranges(channel_ranges, self.value_range, rescale)
        self.rates = preset_rates(preset, dict(rates or {}))
        given = PRESETS[preset]
        self.elastic = RandInPlaneElastic()
        self.shuffle = RandLocalShuffle(given.windows)
        self.nonlinear = RandNonlinearIntensity(value_range=value_range)
        self.inpaint = RandInPaint(given.blocks, given.p_continue, value_range=value_range)
        self.outpaint = RandOutPaint(given.blocks, given.p_continue, value_range=value_range)

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> GenesisParams:
        flips, applied = self.rates.draw(rng, shape[0], len(shape) - 2)
        used = applied.any(axis=0)
        parts = {
            n: getattr(self, n).sample(rng, shape) if drawn else None for n, drawn in zip(PARTS, used, strict=True)
        }
        return GenesisParams(tuple(shape[2:]), flips, applied, **parts)

    def apply(self, volume: torch.Tensor, params: GenesisParams) -> tuple[torch.Tensor, torch.Tensor]:
        """The kernel: (B, C, *spatial) -> corrupted and target of the same shape, not in place.

        Where nothing is flipped, the target is the volume itself, not a copy.
        """
        check_shape(params, volume, len(params.flips), params.spatial_shape)
        target = _flip(volume, params.flips)
        if self.channel_ranges is not None:
            low, width = extents(target, self.channel_ranges)
            corrupted = self._corrupted(((target - low) / width).clamp_(0, 1), params) * width + low
            return corrupted.to(target.dtype), target
        corrupted = self._corrupted(target, params)
        return corrupted.clone() if corrupted is target else corrupted, target

    def checked(self, batch: torch.Tensor, axes: str) -> torch.Tensor:
        """Check a batch (B, C, *spatial), and rescale it where asked."""
        if self.channel_ranges is None:
            return super().checked(batch, axes)
        check_batch(batch, axes, None)
        return batch

    def _corrupted(self, target: torch.Tensor, params: GenesisParams) -> torch.Tensor:
        """What the parts that apply make of cubes in `value_range`; the cubes themselves where none does."""
        corrupted = target
        for name, applied in zip(PARTS, params.applied.T, strict=True):
            corrupted = apply_where(applied, getattr(self, name), corrupted, getattr(params, name), source=target)
        return corrupted

    def __call__(self, img: Any, randomize: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """Corrupted and target."""
        return super().__call__(img, randomize)

    def finish(self, batch: torch.Tensor, volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pair = self.apply(batch, self.params)
        return _with_flipped_affine([like(result[0], volume) for result in pair], self.params.flips[0])


def _flip(batch: torch.Tensor, flips: np.ndarray) -> torch.Tensor:
    """Reverse the spatial axes (B, n) of each cube; the batch itself where there are none."""
    if not flips.any():
        return batch
    patterns = {tuple(pattern) for pattern in flips.tolist()}
    if len(patterns) == 1:
        return batch.flip(_axes(patterns.pop()))
    flipped = batch.clone(memory_format=torch.contiguous_format)
    for pattern in sorted(patterns - {(False,) * flips.shape[1]}):
        cubes = torch.from_numpy(np.flatnonzero((flips == pattern).all(axis=1))).to(batch.device)
        flipped[cubes] = batch[cubes].flip(_axes(pattern))
    return flipped


def _axes(pattern: tuple[bool, ...]) -> list[int]:
    """The axes of (B, C, *spatial) to reverse."""
    return [axis + 2 for axis, reverse in enumerate(pattern) if reverse]


def _with_flipped_affine(pair: list[torch.Tensor], flips: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Move the affine of two flipped MetaTensors: (C, *spatial) with flips (n,), or a batch of those with flips (B, n).

    A stack of single MetaTensors has one affine, of which each cube then needs its own.
    """
    first, second = pair
    if isinstance(first, MetaTensor) and flips.any():
        affine = first.affine
        axes = np.arange(flips.shape[-1])
        moves = np.zeros((*flips.shape[:-1], *affine.shape[-2:]))
        moves[...] = np.eye(affine.shape[-1])
        moves[..., axes, axes] -= 2 * flips
        moves[..., axes, -1] = flips * np.subtract(first.shape[-len(axes) :], 1)
        moved = affine @ torch.from_numpy(moves).to(affine)
        first.meta[MetaKeys.AFFINE], second.meta[MetaKeys.AFFINE] = moved, moved.clone()
    return first, second


class RandGenesisd(RandVolumeTransformd):
    """Dictionary form of `RandGenesis`: the volume under a key is corrupted, its target stands under another key.

    Args:
        keys: volumes (C, *spatial) of equal spatial shape; one draw for all.
        target_key: where the target goes, one name a key.
        settings: those of `RandGenesis`.
        allow_missing_keys: leave out keys that the data lack, instead of raising KeyError.
    """

    array = RandGenesis

    def __init__(
        self,
        keys: KeysCollection = "image",
        target_key: KeysCollection = "target",
        *settings: Any,
        allow_missing_keys: bool = False,
        **named: Any,
    ) -> None:
        super().__init__(keys, *settings, allow_missing_keys=allow_missing_keys, **named)
        self.target_keys = ensure_tuple(target_key)
        if len(set(self.target_keys)) != len(self.keys) or set(self.target_keys) & set(self.keys):
            raise ValueError(
                f"target_key: must name one new key for each of keys={self.keys}; found {self.target_keys}. Name as "
                "many."
            )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        randomize = True
        for key, target_key in self.key_iterator(result, self.target_keys):
            result[key], result[target_key] = self.transform(result[key], randomize=randomize)
            randomize = False
        return result

    def on_batch(self, batch: Mapping[Hashable, Any], seeds: Sequence[int]) -> dict[Hashable, Any]:
        result, target_of = dict(batch), dict(zip(self.keys, self.target_keys, strict=True))
        for key, drawn in self.drawn(batch, seeds):
            result[key], result[target_of[key]] = drawn(batch[key], randomize=False)
        return result


class BatchedGenesis(BatchedVolumeTransform):
    """Batched form of `RandGenesis`: (B, C, *spatial) -> (corrupted, target)."""

    array = RandGenesis
    params: GenesisParams

    def __call__(self, batch: Any, randomize: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """Corrupted and target."""
        return super().__call__(batch, randomize)

    def finish(self, batch: torch.Tensor, volume: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pair = self.transform.apply(batch, self.params)
        return _with_flipped_affine([like(result, volume) for result in pair], self.params.flips)
