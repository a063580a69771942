"""What discovery may start with: volumes, patients, features, and a table to go on from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medgenesis.data.splits import check_disjoint
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining.coordinates import CoordinateSystem, choose_coordinates
from medgenesis.mining.neighbours import not_finite
from medgenesis.mining.patterns import MINED_SECTIONS, PatternTable
from medgenesis.mining.settings import DiscoverySettings
from medgenesis.mining.volumes import VolumeInfo, large_enough


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
                f"`{name}` is {getattr(settings, name)} ({what}), but the section {section!r} has {patients[section]} "
                f"patients that can be used: ask for {patients[section]} or fewer, or add patients"
            )
    check_disjoint(
        {name: [{"image": one.image, "patient": one.patient} for one in own] for name, own in sections.items()}
    )


def checked_features(features: np.ndarray, volumes: Sequence[VolumeInfo], kept: Sequence[int]) -> np.ndarray:
    """The features of the volumes that are kept, one finite row each (ValueError, VolumeError)."""
    features = np.asarray(features)
    if features.ndim != 2 or len(features) != len(volumes) or features.shape[1] == 0:
        raise ValueError(f"`features` must have one row a volume, {len(volumes)}, got shape {features.shape}")
    own = features if len(kept) == len(features) else features[kept]  # the same: no copy
    bad = not_finite(own)
    if bad is not None:
        row = kept[bad]
        raise VolumeError(
            f"{volumes[row].image}: its feature vector (row {row}) is not finite: leave the file out, or look at the "
            "weights that the features were computed with"
        )
    return own


def check_resumed(table: PatternTable, volumes: Sequence[VolumeInfo], settings: Mapping[str, Any]) -> None:
    """Refuse to go on from a table that other settings, volumes or features made (ValueError)."""
    for name, wanted in settings.items():
        found = table.settings.get(name)
        if name != "classes" and found != wanted:
            raise ValueError(
                f"the table to resume was made with {name} = {found!r}, now it is {wanted!r}: use the same, or start "
                "anew"
            )
    if list(table.volumes) != list(volumes):
        raise ValueError("the table to resume was made of other volumes: use the same list, or start anew")
    if [item["class"] for item in table.references] != list(range(table.num_classes)):
        raise ValueError("the table to resume lacks the reference of a class: start anew")
    if table.num_classes > settings["classes"]:
        raise ValueError(
            f"the table to resume has {table.num_classes} classes already, {settings['classes']} are asked for: "
            "ask for as many or more, or start anew"
        )
