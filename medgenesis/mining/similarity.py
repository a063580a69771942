"""Numbers that tell patterns from noise: how alike the cubes of a class are, beside what chance would give."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from medgenesis.data.crop_criteria import CropCriterion, get_criterion
from medgenesis.errors import DatalistError
from medgenesis.mining.cube_samples import Sample, cut_small, found_cubes, in_other_patients
from medgenesis.mining.patterns import PatternTable
from medgenesis.renamed import renamed_arguments

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PatternSimilarity:
    """Mean normalised cross-correlations, -1 to 1, of pairs of cubes from two patients; NaN where there is no pair.

    Attributes:
        within: two cubes of a class; the mean over classes, as are the next two.
        other_patients: at the same coordinates, but in patients drawn at random instead of the nearest: what `within`
            is above it, the features have gained. Equal but for sampling where every patient is in every class.
        random_coordinates: in the same patients, but each cube at a place of its own, drawn by the same rule: what
            `within` is above it, sharing the coordinate has gained.
        between: two cubes of different classes: where it is as high as `within`, the classes say nothing.
        retrieval: share of cubes whose most similar cube of another patient is of their own class; where n are equally
            similar, each counts 1/n.
        chance: `retrieval` if any cube of another patient were as likely the most similar.
        per_class: `within` of each class that has cubes, in their order.
    """

    within: float
    other_patients: float
    random_coordinates: float
    between: float
    retrieval: float
    chance: float
    per_class: tuple[float, ...]

    def plain(self) -> dict[str, float | None | list[float | None]]:
        """The numbers as JSON holds them, which knows no NaN: None in its place."""
        numbers = {name: _or_none(value) for name, value in vars(self).items() if name != "per_class"}
        return {**numbers, "per_class": [_or_none(value) for value in self.per_class]}


@renamed_arguments(rule="criterion")
def pattern_similarity(
    table: PatternTable,
    load: Callable[[int], torch.Tensor],
    *,
    section: str = "training",
    per_class: int = 20,
    size: Sequence[int] = (16, 16, 8),
    criterion: str | CropCriterion | None = None,
    tries: int = 50,
    seed: int = 0,
) -> PatternSimilarity:
    """Compare the cubes of a table with each other, and with those that chance would have put in their place.

    Cubes of resolution 1 are averaged down to `size` and compared by normalised cross-correlation over all voxels and
    channels (0 with a constant cube). Each volume is read once, one is held at a time; memory grows with classes times
    `per_class` alone.

    Args:
        table: of discovered patterns.
        load: gives volume i, counted as in `table.volumes`, as (C, X, Y, Z) in [0, 1].
        section: "training" or "validation".
        per_class: cubes looked at of each class, drawn at random.
        size: voxels (X, Y, Z) that cubes are compared at.
        criterion: of the random coordinates; None takes the table's, which must then be a named one.
        tries: positions drawn for a random coordinate at most.
        seed: of all draws.

    Raises:
        ValueError: another section, one without cubes, or a rule without a name.
        DatalistError: a table whose settings do not say how coordinates are shared.
    """
    criterion = get_criterion(table.settings.get("rule") if criterion is None else criterion)
    rng = np.random.RandomState(seed)
    found = found_cubes(table, section, per_class, rng)
    if table.settings.get("coordinates") not in ("voxel", "body"):
        raise DatalistError(
            'the settings of the table must say how its "coordinates" are shared, voxel or body, got '
            f"{table.settings.get('coordinates')!r}: mine the table anew"
        )
    if not found:
        raise ValueError(f"the table has no cubes of resolution 1 in section {section!r}: choose the other section")
    others = in_other_patients(table, section, found, rng)
    random = [sample._replace(origin=None) for sample in found]
    samples, ends = [*found, *others, *random], np.cumsum([len(found), len(others)])
    vectors = cut_small(samples, load, table.settings["cube_size"], size, criterion, tries=tries, seed=seed)
    cubes = np.split(vectors, ends)
    patients = [[table.volumes[sample.volume].patient for sample in group] for group in (found, others, random)]
    per, between, retrieval, chance = _compare(cubes[0], found, patients[0])
    result = PatternSimilarity(
        within=_mean(per),
        other_patients=_mean(_compare(cubes[1], others, patients[1])[0]),
        random_coordinates=_mean(_compare(cubes[2], random, patients[2])[0]),
        between=between,
        retrieval=retrieval,
        chance=chance,
        per_class=per,
    )
    said = "similarity %.3f within and %.3f between classes, %.3f in other patients, %.3f at random coordinates"
    logger.info(said, result.within, result.between, result.other_patients, result.random_coordinates)
    return result


def _compare(
    cubes: np.ndarray, samples: Sequence[Sample], patients: Sequence[str]
) -> tuple[tuple[float, ...], float, float, float]:
    """Similarity within each class, similarity between classes, retrieval and its chance."""
    labels, owners = np.array([sample.label for sample in samples]), np.unique(patients, return_inverse=True)[1]
    similar = cubes @ cubes.T
    apart = owners[:, None] != owners
    alike = labels[:, None] == labels
    per = tuple(_mean(similar[np.outer(labels == label, labels == label) & apart]) for label in np.unique(labels))
    between = _mean(similar[~alike & apart])
    asked = apart.any(axis=1)
    ranked = np.where(apart, similar, -np.inf)
    best = apart & (ranked == ranked.max(axis=1, keepdims=True))  # a constant cube is as like one as any other
    retrieval = _mean((alike & best).sum(axis=1)[asked] / best.sum(axis=1)[asked])
    chance = _mean((alike & apart).sum(axis=1)[asked] / apart.sum(axis=1)[asked])
    return per, between, retrieval, chance


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _mean(values: Sequence[float] | np.ndarray) -> float:
    """Mean of the numbers that are defined; NaN if none is."""
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")
