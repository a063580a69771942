"""The distortion of CAiD: blocks are cut out, all around some is cut out, or patches change places; or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.errors import VolumeError
from medgenesis.transforms.base import BatchedVolumeTransform, RandVolumeTransform, RandVolumeTransformd
from medgenesis.transforms.checks import check_count, check_probability
from medgenesis.transforms.functional.blocks import block_mask, count_while, place_blocks
from medgenesis.transforms.functional.patches import black_out, place_pairs, swap_patches
from medgenesis.transforms.params import Generator, Params, check_shape

RATES = {"inner": 0.30, "outer": 0.05, "swap": 0.30}  # what is missing to 1 is the rate of none
_INNER, _OUTER, _SWAP = range(3)
_SIDE = 224  # pixels, the published side, which the following belong to
_INNER_SIDE, _OUTER_REMOVED, _PATCH_SIDE, _MARGIN = (10, 70), (50, 70), (10, 15), 3
_TRIES = 10  # for a pair of patches without overlap; of two places at side 224, one or two in a hundred overlap


@dataclass(frozen=True, eq=False)
class CAiDDistortionParams(Params):
    """What was drawn for a batch.

    Attributes:
        kinds: (B,) int64: 0 inner cut-out, 1 outer cut-out, 2 patch swap, 3 none.
        blocks: (B, K, 2, n) int64 first voxel, and one past the last, of what is cut out, or else kept; the others are
            empty.
        pairs: (B, S, 2, 2, n) int64, the same of both patches of each swap.
        spatial_shape: the cubes' sides, voxels.
    """

    kinds: np.ndarray
    blocks: np.ndarray
    pairs: np.ndarray
    spatial_shape: tuple[int, ...]

    def expand(self) -> np.ndarray:
        """What is blacked out, bool (B, *spatial)."""
        mask = block_mask(torch.from_numpy(self.blocks), self.spatial_shape).numpy()
        return mask != (self.kinds == _OUTER).reshape(-1, *[1] * len(self.spatial_shape))


class RandCAiDDistortion(RandVolumeTransform):
    """Do one of three things, or nothing; all channels alike.

    At a side of 224 pixels, all limits included:
    - inner cut-out: blocks with sides of 10 to 70 pixels become black;
    - outer cut-out: windows with sides of 154 to 174 (224 less 50 to 70) are kept, the rest becomes black;
    - patch swap: pairs of patches of equal sides of 10 to 15, which do not overlap, change places. All patches are read
      before any is written; later pairs win.

    There is one block or window, and after each of them one more, until `p_stop` or `blocks` ends it. All stay 3 pixels
    from the border. On an axis of another side these numbers are scaled by side / 224 and rounded, at least one voxel.

    Args:
        rates: those of "inner", "outer" and "swap" that differ from 0.30, 0.05 and 0.30; the rest to 1 is nothing.
        blocks: greatest number of blocks or windows.
        swaps: number of pairs.
        p_stop: probability of stopping, asked after each block.
        least_side: of the volume, pixels; what is smaller is refused.
        value_range: intensities (low, high) of the data; low is black.
        rescale: bring each volume's own least .. greatest value to `value_range`, always, instead of refusing what
            lies outside.
        prob: probability that anything is drawn at all.

    Raises:
        ValueError: a setting out of its range.
        VolumeError: (on call) not (C, *spatial), empty, not floating point, not finite, or smaller than `least_side`.
        IntensityRangeError: (on call) voxels outside `value_range` by more than 1e-3 of its width.

    References:
        Hosseinzadeh Taher et al., CAiD: context-aware instance discrimination for self-supervised learning in medical
        imaging, MIDL 2022, section 2 and the distortion of its released program.

    Notes:
        The published program means to draw patches again that overlap, but its test lets every pair pass; here it does
        not, and of a pair that overlaps ten times nothing is swapped. Other sides than 224, and volumes, whose blocks
        are boxes by the same rule for each axis, are ours.
    """

    params: CAiDDistortionParams

    def __init__(
        self,
        rates: Mapping[str, float] | None = None,
        *,
        blocks: int = 10,
        swaps: int = 10,
        p_stop: float = 0.1,
        least_side: int = 81,
        value_range: tuple[float, float] = (0.0, 1.0),
        rescale: bool = False,
        prob: float = 1.0,
    ) -> None:
        super().__init__(prob, value_range, rescale)
        self.rates = _checked_rates(dict(rates or {}))
        self.blocks, self.swaps = check_count("blocks", blocks), check_count("swaps", swaps)
        self.p_stop = check_probability("p_stop", p_stop)
        self.least_side = check_count("least_side", least_side)

    def checked(self, batch: torch.Tensor, axes: str) -> torch.Tensor:
        batch = super().checked(batch, axes)
        if min(batch.shape[2:]) < self.least_side:
            raise VolumeError(
                f"volume: each side must have at least {self.least_side} voxels, as blocks are scaled to the sides and "
                f"would be too small to hide anything; found {tuple(batch.shape[2:])}. Enlarge it, or lower least_side."
            )
        return batch

    def sample(self, rng: Generator, shape: tuple[int, ...]) -> CAiDDistortionParams:
        batch, sides = shape[0], np.array(shape[2:])
        kinds = np.searchsorted(np.cumsum(list(self.rates.values())), rng.random(batch), side="right")
        counts = 1 + count_while(rng.random((batch, self.blocks - 1)), 1 - self.p_stop)
        places = rng.random((batch, self.blocks, 2, len(sides)))
        low, high = _scaled(_OUTER_REMOVED, sides)
        margin = _scaled(_MARGIN, sides)
        inner = place_blocks(places, counts * (kinds == _INNER), sides, _at_least_one(_INNER_SIDE, sides), margin)
        outer = place_blocks(places, counts * (kinds == _OUTER), sides, (sides - high, sides - low), margin)
        pairs = place_pairs(
            rng.random((batch, self.swaps, len(sides))),
            rng.random((batch, _TRIES, self.swaps, 2, len(sides))),
            kinds == _SWAP,
            sides,
            _at_least_one(_PATCH_SIDE, sides),
            margin,
        )
        blocks = np.where((kinds == _OUTER)[:, None, None, None], outer, inner)
        return CAiDDistortionParams(kinds, blocks, pairs, tuple(shape[2:]))

    def apply(self, volume: torch.Tensor, params: CAiDDistortionParams) -> torch.Tensor:
        check_shape(params, volume, len(params.kinds), params.spatial_shape)
        swapped = swap_patches(volume, params.pairs)
        return black_out(swapped, params.blocks, params.kinds == _OUTER, self.value_range[0])


def _checked_rates(given: dict[str, float]) -> dict[str, float]:
    """The published rates with the given ones in their place."""
    if unknown := sorted(given.keys() - RATES.keys()):
        raise ValueError(f"rates: must be among {sorted(RATES)}; found {unknown}. Leave them out.")
    rates = {name: check_probability(f"rates[{name!r}]", given.get(name, rate)) for name, rate in RATES.items()}
    if sum(rates.values()) > 1 + 1e-9:
        raise ValueError(
            f"rates: must sum to at most 1, as one at most is done; found {rates}, which sum to {sum(rates.values())}. "
            "Lower them."
        )
    return rates


def _scaled(published: int | tuple[int, int], sides: np.ndarray) -> np.ndarray:
    """Published lengths as those of an axis of each of the sides (n,)."""
    return (np.multiply.outer(published, sides) / _SIDE + 0.5).astype(np.int64)


def _at_least_one(published: tuple[int, int], sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.maximum(1, _scaled(published, sides)))


class RandCAiDDistortiond(RandVolumeTransformd):
    """Dictionary form of `RandCAiDDistortion`; the same blocks and patches for all keys."""

    array = RandCAiDDistortion


class BatchedCAiDDistortion(BatchedVolumeTransform):
    """Batched form of `RandCAiDDistortion`."""

    array = RandCAiDDistortion
    params: CAiDDistortionParams
