"""What discovery is given: settings, volumes, features, and a table to go on from; and what each must obey."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medgenesis.data.crop_criteria import CropCriterion, get_criterion
from medgenesis.data.splits import check_disjoint
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining.coordinates import MODES, CoordinateSystem, choose_coordinates
from medgenesis.mining.geometry import VolumeInfo, large_enough
from medgenesis.mining.neighbours import check_index, not_finite
from medgenesis.mining.patterns import MINED_SECTIONS, PatternTable
from medgenesis.mining.resize import three_sides
from medgenesis.networks.unet3d import MULTIPLE
from medgenesis.renamed import renamed_arguments

logger = logging.getLogger(__name__)

LEAST_CLASSES = 2  # that a network can tell apart
_LEAST = {"classes": 1, "train_patients": 1, "validation_patients": 0, "min_distance": 0, "tries": 1, "seed": 0}


@dataclass(frozen=True)
class DiscoverySettings:
    """What `discover` is told.

    Args:
        classes: patterns to find; each needs a training patient of its own.
        train_patients: cubes of a class for training.
        validation_patients: cubes of a class for validation; 0 for none.
        cube_size: voxels (X, Y, Z).
        criterion: "lung", "foreground", "any", or a `CropCriterion`: which cubes of a reference are worth a class.
        min_distance: voxels, Euclidean. Where coordinates are relative to the body, earlier ones are first mapped into
            the new reference, and the distance is measured there.
        tries: positions drawn in one reference, and draws for one rescaled cube, at most.
        multi_resolution: also cut resolutions 2 and 3 of each training cube, see `draw_rescaled`; what fits into a
            volume nowhere is left out.
        coordinates: "voxel", "body" or "auto", see `choose_coordinates`.
        seed: 0 to 2^32 - 1. Class c is a function of the seed, c and the references of the earlier classes.
        index: "exact" or "faiss", see `nearest`.

    Raises:
        ValueError: a setting out of its range.
        MissingPackageError: `index="faiss"` without the package.
    """

    classes: int = 44
    train_patients: int = 200
    validation_patients: int = 30
    cube_size: Sequence[int] = (64, 64, 32)
    criterion: str | CropCriterion = "lung"
    min_distance: float = 5
    tries: int = 200
    multi_resolution: bool = False
    coordinates: str = "auto"
    seed: int = 0
    index: str = "exact"

    def __post_init__(self) -> None:
        object.__setattr__(self, "cube_size", three_sides(self.cube_size, "cube_size"))
        for name, least in _LEAST.items():
            if not getattr(self, name) >= least:
                raise ValueError(
                    f"{name}: must be at least {least}; found {getattr(self, name)}. Give a larger number."
                )
        if self.seed >= 2**32:
            raise ValueError(f"seed: must be below 2^32; found {self.seed}. Give a smaller number.")
        if self.coordinates not in MODES:
            raise ValueError(
                f"coordinates: must be one of {', '.join(MODES)}; found {self.coordinates!r}. Choose one of them."
            )
        get_criterion(self.criterion)
        check_index(self.index)

    def plain(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return {
            "classes": int(self.classes),
            "train_patients": int(self.train_patients),
            "validation_patients": int(self.validation_patients),
            "cube_size": list(self.cube_size),
            "rule": self.criterion if isinstance(self.criterion, str) else repr(self.criterion),
            "min_distance": float(self.min_distance),
            "tries": int(self.tries),
            "multi_resolution": bool(self.multi_resolution),
            "coordinates": self.coordinates,
            "seed": int(self.seed),
            "index": self.index,
        }


DiscoverySettings.__init__ = renamed_arguments(rule="criterion")(DiscoverySettings.__init__)  # type: ignore[method-assign]


def check_settings(volumes: Sequence[VolumeInfo], settings: DiscoverySettings) -> None:
    """What settings and datalist say by themselves, before any volume is read."""
    if settings.classes < LEAST_CLASSES:
        raise ValueError(
            f"classes: must be at least {LEAST_CLASSES}, for a network to tell them apart; found {settings.classes}. "
            "Ask for more."
        )
    if any(side % MULTIPLE for side in settings.cube_size):
        logger.warning(
            "cubes of %s voxels: UNet3D and YNet3D learn from cubes whose sides divide by %d: choose another "
            "`cube_size`, unless you have a network that takes these",
            list(settings.cube_size),
            MULTIPLE,
        )
    check_patients(volumes, settings)


def check_eligibility(
    volumes: Sequence[VolumeInfo], settings: DiscoverySettings, on_error: str = "stop"
) -> tuple[list[int], CoordinateSystem]:
    """Indices of the volumes that take part in discovery, and how they share coordinates.

    Raises:
        ValueError: another `on_error`.
        DatalistError: too few patients, or a patient (or file) in both sections.
        VolumeError: a volume that is smaller than the cube (`on_error="stop"`), or does not go with the others.
    """
    mined = [i for i, volume in enumerate(volumes) if volume.section in MINED_SECTIONS]
    fitting = large_enough([volumes[i] for i in mined], settings.cube_size, on_error)
    kept = [mined[i] for i in fitting]
    chosen = [volumes[i] for i in kept]
    check_patients(chosen, settings)
    return kept, choose_coordinates(chosen, settings.cube_size, settings.coordinates)


def check_patients(volumes: Sequence[VolumeInfo], settings: DiscoverySettings) -> None:
    """Refuse too few patients, and patients in both sections (DatalistError)."""
    sections = {name: [volume for volume in volumes if volume.section == name] for name in MINED_SECTIONS}
    patients = {name: len({volume.patient for volume in own}) for name, own in sections.items()}
    wanted = {
        "train_patients": ("training", "each class takes so many"),
        "validation_patients": ("validation", "each class takes so many, 0 for none"),
        "classes": ("training", "each class takes one of its own as reference"),
    }
    for name, (section, what) in wanted.items():
        if patients[section] < getattr(settings, name):
            raise DatalistError(
                f"{name}: must be at most the patients that can be used; found {getattr(settings, name)} ({what}) for "
                f"the {patients[section]} patients of section {section!r}. Ask for {patients[section]} or fewer, or "
                "add patients."
            )
    check_disjoint(
        {name: [{"image": one.image, "patient": one.patient} for one in own] for name, own in sections.items()}
    )


def checked_features(features: np.ndarray, volumes: Sequence[VolumeInfo], kept: Sequence[int]) -> np.ndarray:
    """The features of the volumes that are kept, one finite row each (ValueError, VolumeError)."""
    features = np.asarray(features)
    if features.ndim != 2 or len(features) != len(volumes) or features.shape[1] == 0:
        raise ValueError(
            f"features: must have one row a volume, {len(volumes)}; found shape {features.shape}. Compute them anew."
        )
    own = features if len(kept) == len(features) else features[kept]  # the same: no copy
    bad = not_finite(own)
    if bad is not None:
        row = kept[bad]
        raise VolumeError(
            f"{volumes[row].image}: its feature vector must be finite; found row {row}, which is not. Leave the file "
            "out, or look at the weights that the features were computed with."
        )
    return own


def check_resumed(table: PatternTable, volumes: Sequence[VolumeInfo], settings: Mapping[str, Any]) -> None:
    """Refuse to go on from a table that other settings, volumes or features made (ValueError)."""
    for name, wanted in settings.items():
        found = table.settings.get(name)
        if name != "classes" and found != wanted:
            raise ValueError(
                f"table: to resume, it must have been made with the same {name}, now {wanted!r}; found {found!r}. Use "
                "the same, or start anew."
            )
    if list(table.volumes) != list(volumes):
        raise ValueError(
            "table: to resume, it must have been made of the same volumes; found other volumes. Use the same list, or "
            "start anew."
        )
    if [item["class"] for item in table.references] != list(range(table.num_classes)):
        raise ValueError("table: to resume, it must have one reference of each class; found one missing. Start anew.")
    if table.num_classes > settings["classes"]:
        raise ValueError(
            f"table: to resume, it must have no more than the {settings['classes']} classes asked for; found "
            f"{table.num_classes}. Ask for as many or more, or start anew."
        )
