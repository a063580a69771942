"""Which patient shows a new pattern, and where: the reference of a class."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from medgenesis.data.crop_criteria import AnyCriterion, CropCriterion, ForegroundCriterion, get_criterion
from medgenesis.data.crops import draw_cube
from medgenesis.errors import IntensityRangeError, VolumeError
from medgenesis.mining.coordinates import CoordinateSystem
from medgenesis.mining.discovery_input import LEAST_CLASSES
from medgenesis.mining.geometry import VolumeInfo

logger = logging.getLogger(__name__)

_STRIDE = 8  # voxels: a volume on the disk is not read whole only to see its range


@dataclass(frozen=True)
class ReferenceSearch:
    """Draws the reference patient of a class and a coordinate in one of its volumes.

    Args:
        volumes: those of training, by their number.
        load: gives the volume of that number (C, X, Y, Z) in [0, 1]; one is held at a time.
        coordinates: how earlier coordinates are found in a volume.
        criterion: which cubes are worth learning from.
        min_distance: voxels, Euclidean, from the cubes of all earlier classes, in the reference's own volume.
        tries: positions drawn in a volume before another patient is.
    """

    volumes: Mapping[int, VolumeInfo]
    load: Callable[[int], torch.Tensor]
    coordinates: CoordinateSystem
    criterion: str | CropCriterion
    min_distance: float
    tries: int
    by_patient: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        by_patient: dict[str, list[int]] = {}
        for i, volume in self.volumes.items():
            by_patient.setdefault(volume.patient, []).append(i)
        object.__setattr__(self, "by_patient", by_patient)

    def draw(self, earlier: Sequence[tuple[int, tuple[int, ...]]], rng: np.random.RandomState) -> tuple[int, tuple]:
        """Volume and first voxel of a cube, far enough from those of earlier classes.

        A patient that fails here is drawn again for later classes: failing is bad luck, not a property of the patient.

        Args:
            earlier: volume and first voxel of the reference of each earlier class; their patients are not drawn.
            rng: source of the draws.

        Raises:
            VolumeError: no patient is left that shows such a place.
        """
        used = {self.volumes[i].patient for i, _ in earlier}
        patients = [patient for patient in self.by_patient if patient not in used]
        shared = [self.coordinates.share(origin, self.volumes[i]) for i, origin in earlier]
        accepted = 0
        for position in rng.permutation(len(patients)):
            choices = self.by_patient[patients[position]]
            i = choices[rng.randint(len(choices))]
            origin, passed = self._place(i, shared, rng)
            accepted += passed
            if origin is not None:
                return i, origin
            logger.info("volume %d has no new coordinate in %d tries, another reference is drawn", i, self.tries)
        raise VolumeError(
            f"classes: each needs a reference, a cube that the rule {self.criterion} accepts, {self.min_distance} "
            f"voxels or more from the earlier ones; found {len(earlier)}, then none in the {len(patients)} patients "
            f"left ({accepted} of {self.tries * len(patients)} positions were accepted). {self._remedy(len(earlier))}"
        )

    def _remedy(self, found: int) -> str:
        """What can be changed: no number of classes that is refused, nothing that is in force already."""
        in_force = type(get_criterion(self.criterion))
        laxer = {AnyCriterion: (), ForegroundCriterion: ("'any'",)}.get(in_force, ("'foreground'", "'any'"))
        remedies = {
            f"ask for {found} classes": found >= LEAST_CLASSES,
            "lower `min_distance`": self.min_distance > 0,
            "raise `tries`": True,
            "add patients": True,
            f"choose the rule {' or '.join(laxer)}": bool(laxer),
        }
        *first, last = [remedy for remedy, helps in remedies.items() if helps]
        said = f"{', '.join(first)}, or {last}."
        return said[0].upper() + said[1:]

    def _place(self, i: int, shared: Sequence[tuple], rng: np.random.RandomState) -> tuple[tuple | None, int]:
        """First voxel of a cube in volume i, or None; and how many positions the rule accepted."""
        info, size = self.volumes[i], self.coordinates.size
        taken = np.array([self.coordinates.place(place, info)[0] for place in shared]).reshape(-1, len(size))
        volume = _checked(self.load(i), info)
        accepted = 0
        for _ in range(self.tries):
            origin, distance_to_acceptance = draw_cube(volume, size, self.criterion, rng, tries=1)
            if distance_to_acceptance > 0:
                continue
            accepted += 1
            if (np.linalg.norm(taken - origin, axis=1) >= self.min_distance).all():
                return origin, accepted
        return None, accepted


def _checked(volume: torch.Tensor, info: VolumeInfo) -> torch.Tensor:
    volume = info.check(torch.as_tensor(volume))
    some = volume[:, ::_STRIDE, ::_STRIDE, ::_STRIDE]
    least, most = float(some.min()), float(some.max())
    if not (least >= 0 and most <= 1):
        raise IntensityRangeError(
            f"{info.image}: values must be in [0, 1] for mining; found {least:g} to {most:g}. Give `load` the "
            "preprocessing that scales them."
        )
    return volume
