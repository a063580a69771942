"""Numbers that tell patterns from noise: how alike the cubes of a class are, beside what chance would give."""

import logging
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from medgenesis.data.crop_criteria import CropCriterion, get_criterion
from medgenesis.errors import DatalistError
from medgenesis.mining.coordinates import CoordinateSystem
from medgenesis.mining.cubes import Sample, SmallCubes, one_pass
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
    task = SimilarityTask(
        table, section=section, per_class=per_class, size=size, criterion=criterion, tries=tries, seed=seed
    )
    one_pass(load, task)
    return task.result()


class SimilarityTask:
    """What `pattern_similarity` computes, for `one_pass`; its arguments, but `load`, are those of it.

    Args:
        table: of discovered patterns.
        **settings: of `pattern_similarity`.
    """

    def __init__(
        self,
        table: PatternTable,
        *,
        section: str = "training",
        per_class: int = 20,
        size: Sequence[int] = (16, 16, 8),
        criterion: str | CropCriterion | None = None,
        tries: int = 50,
        seed: int = 0,
    ) -> None:
        criterion = get_criterion(table.settings.get("rule") if criterion is None else criterion)
        rng = np.random.RandomState(seed)
        found = _found_cubes(table, section, per_class, rng)
        if table.settings.get("coordinates") not in ("voxel", "body"):
            raise DatalistError(
                "coordinates: the settings of the table must have how they are shared, voxel or body; found "
                f"{table.settings.get('coordinates')!r}. Mine the table anew."
            )
        if not found:
            raise ValueError(
                f"section: must have cubes of resolution 1; found none in {section!r}. Choose the other section."
            )
        others = _in_other_patients(table, section, found, rng)
        self.groups = found, others, [sample._replace(origin=None) for sample in found]
        self.table = table
        samples = [sample for group in self.groups for sample in group]
        self.cubes = SmallCubes(samples, table.settings["cube_size"], size, criterion, tries, seed)

    @property
    def wanted(self) -> Collection[int]:
        """Volumes that any of the cubes is cut from."""
        return self.cubes.wanted

    def take(self, i: int, volume: torch.Tensor) -> None:
        """Cut the cubes of volume i."""
        self.cubes.take(i, volume)

    def result(self) -> PatternSimilarity:
        """The numbers, when all volumes have been taken."""
        ends = np.cumsum([len(group) for group in self.groups])[:-1]
        cubes = np.split(self.cubes.vectors, ends)
        patients = [[self.table.volumes[sample.volume].patient for sample in group] for group in self.groups]
        found, others, random = (_compare(*three) for three in zip(cubes, self.groups, patients, strict=True))
        per, between, retrieval, chance = found
        result = PatternSimilarity(_mean(per), _mean(others[0]), _mean(random[0]), between, retrieval, chance, per)
        said = "similarity %.3f within and %.3f between classes, %.3f in other patients, %.3f at random coordinates"
        logger.info(said, result.within, result.between, result.other_patients, result.random_coordinates)
        return result


def _found_cubes(table: PatternTable, section: str, per_class: int, rng: np.random.RandomState) -> list[Sample]:
    """At most `per_class` cubes of each class, of resolution 1, drawn at random; by class."""
    place_of = {volume.image: i for i, volume in enumerate(table.volumes)}
    members: dict[int, list[Sample]] = {}
    for item in table.items(section):
        if item["resolution"] == 1:
            sample = Sample(item["class"], place_of[item["image"]], tuple(item["origin"]))
            members.setdefault(item["class"], []).append(sample)
    chosen = []
    for _, samples in sorted(members.items()):
        chosen += [samples[i] for i in np.sort(rng.permutation(len(samples))[:per_class])]
    return chosen


def _in_other_patients(
    table: PatternTable, section: str, found: Sequence[Sample], rng: np.random.RandomState
) -> list[Sample]:
    """The coordinate of each class in patients drawn at random, as many as were found (one cube a patient)."""
    system = CoordinateSystem(table.settings["coordinates"], tuple(table.settings["cube_size"]))
    volume_of = {volume.image: volume for volume in table.volumes}
    shared = {item["class"]: system.share(item["origin"], volume_of[item["image"]]) for item in table.references}
    by_patient: dict[str, list[int]] = {}
    for i, volume in enumerate(table.volumes):
        if volume.section == section:
            by_patient.setdefault(volume.patient, []).append(i)
    patients = list(by_patient.values())
    drawn = []
    for label, samples in groupby(found, key=lambda sample: sample.label):
        for which in rng.permutation(len(patients))[: len(list(samples))]:
            i = patients[which][rng.randint(len(patients[which]))]
            drawn.append(Sample(label, i, system.place(shared[label], table.volumes[i])[0]))
    return drawn


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
