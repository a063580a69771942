"""Named rules that say which random cubes are worth learning from; each tells how far a cube is from acceptance."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

OUTSIDE_AIR = 0.015
"""-970 HU on the `ct` scale. Measured at or under it: at most 4 % of the voxels of annotated lung, 75 to 80 % of those
outside the body in two torso CT (the couch included)."""


class CropCriterion(ABC):
    """A test of one candidate cube.

    Attributes:
        lookahead: slices beyond the cube, along the last axis, that the test also looks at where they exist.
        border: for each axis the voxels kept free before and behind a cube; () for none. See `border_voxels`.
    """

    lookahead: ClassVar[int] = 0
    border: ClassVar[tuple[tuple[int, int], ...]] = ()

    @abstractmethod
    def distance_to_acceptance(self, cube: torch.Tensor, depth: int) -> float:
        """How far the cube is from acceptance, in shares of its voxels: 0 accepted, at most 2.

        Args:
            cube: one channel, (X, Y, depth + up to `lookahead`), values in [0, 1].
            depth: slices of the cube itself.
        """


@dataclass(frozen=True)
class LungCriterion(CropCriterion):
    """Cubes of lung: the published test against dense tissue, and one of ours against air outside the body.

    With t = 0.425 (-150 HU on the `ct` scale) a voxel counts d = 1 if it is >= t, 1/2 if only the next voxel along
    the last axis is, else 0 (behind the last slice of the volume nothing is dense). Rejected when mean(d) >
    `max_dense`, or when more than `max_air` of the voxels are at -970 HU or below: air outside the body, and padding
    such as -2000 HU, which the `ct` preset clips to 0.

    Args:
        max_dense: largest mean(d), 0.15 as published.
        max_air: largest share of air and padding. Measured: at most 0.27 in 100 chest crops of LIDC-IDRI, 0.17 in
            the cubes of a chest CT that pass the published test, 0.77 to 0.82 in those of a torso CT (outside air).

    References:
        Zhou et al., Models Genesis, arXiv 2004.07882.

    Notes:
        The published test has no limit of air: only its border kept outside air away.
    """

    lookahead: ClassVar[int] = 1
    border: ClassVar[tuple[tuple[int, int], ...]] = ((100, 101), (100, 101), (30, 34))

    max_dense: float = 0.15
    max_air: float = 0.4

    def distance_to_acceptance(self, cube: torch.Tensor, depth: int) -> float:
        dense = cube >= 0.425
        here = dense[..., :depth]
        behind = torch.zeros_like(here)
        following = dense[..., 1 : depth + 1]
        behind[..., : following.shape[-1]] = following
        mean_d = (here.float() + 0.5 * (behind & ~here).float()).mean().item()
        air = (cube[..., :depth] <= OUTSIDE_AIR).float().mean().item()
        return max(0.0, mean_d - self.max_dense) + max(0.0, air - self.max_air)


@dataclass(frozen=True)
class ForegroundCriterion(CropCriterion):
    """Cubes that show body: at least `min_fraction` of the voxels above `threshold`.

    Args:
        threshold: on the [0, 1] scale; the default, -970 HU on the `ct` scale, counts lung as body. For MR with a
            noisy background take the noise's level, 0.05 to 0.1 after `mri_percentile`.
        min_fraction: smallest share of body.
    """

    threshold: float = OUTSIDE_AIR
    min_fraction: float = 0.5

    def distance_to_acceptance(self, cube: torch.Tensor, depth: int) -> float:
        body = (cube[..., :depth] > self.threshold).float().mean().item()
        return max(0.0, self.min_fraction - body)


@dataclass(frozen=True)
class AnyCriterion(CropCriterion):
    """Every cube."""

    def distance_to_acceptance(self, cube: torch.Tensor, depth: int) -> float:
        return 0.0


CROP_CRITERIA: dict[str, CropCriterion] = {
    "lung": LungCriterion(),
    "foreground": ForegroundCriterion(),
    "any": AnyCriterion(),
}


def get_criterion(criterion: str | CropCriterion) -> CropCriterion:
    """The rule of that name, or the rule itself.

    Raises:
        ValueError: unknown name.
    """
    if isinstance(criterion, CropCriterion):
        return criterion
    if criterion not in CROP_CRITERIA:
        raise ValueError(
            f"rule: must be one of {', '.join(CROP_CRITERIA)} or a CropCriterion; found {criterion!r}. Choose one of "
            "them."
        )
    return CROP_CRITERIA[criterion]
