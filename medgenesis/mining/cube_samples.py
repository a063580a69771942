"""Some of a table's cubes, and what chance would put in their place, small enough to compare all pairs."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from torch.nn.functional import adaptive_avg_pool3d

from medgenesis.data.crop_criteria import CropCriterion
from medgenesis.data.crops import draw_cube
from medgenesis.mining.coordinates import CoordinateSystem
from medgenesis.mining.crop import crop_pattern
from medgenesis.mining.patterns import PatternTable


class Sample(NamedTuple):
    """A cube of class `label` in a volume of the table; `origin` None stands for a place that a rule draws."""

    label: int
    volume: int
    origin: tuple[int, ...] | None


def found_cubes(table: PatternTable, section: str, per_class: int, rng: np.random.RandomState) -> list[Sample]:
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


def in_other_patients(
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


def cut_small(
    samples: Sequence[Sample],
    load: Callable[[int], torch.Tensor],
    cube_size: Sequence[int],
    size: Sequence[int],
    criterion: CropCriterion,
    *,
    tries: int = 50,
    seed: int = 0,
) -> np.ndarray:
    """Each sample as a vector (samples, voxels) of mean 0 and length 1, so that products of two are correlations.

    Args:
        samples: cubes to cut.
        load: gives volume i as (C, X, Y, Z) in [0, 1]; called once for each volume that occurs, in their order.
        cube_size: voxels that are cut.
        size: voxels that each cube is averaged down to; a side larger than the cube's stays as it is.
        criterion: of the places to draw.
        tries: positions drawn for one of them at most.
        seed: with the number of the volume, decides those places.
    """
    size = [min(sides) for sides in zip(size, cube_size, strict=True)]
    rows_of: dict[int, list[int]] = {}
    for row, sample in enumerate(samples):
        rows_of.setdefault(sample.volume, []).append(row)
    vectors: np.ndarray | None = None
    for i, rows in sorted(rows_of.items()):
        rng = np.random.RandomState([seed, i])
        origins = [samples[row].origin for row in rows]
        cubes = _cut_volume(load(i), origins, cube_size, size, criterion, rng, tries)
        if vectors is None:
            vectors = np.zeros((len(samples), cubes.shape[1]), np.float32)
        vectors[rows] = cubes
    return vectors


def _cut_volume(volume, origins, cube_size, size, criterion, rng, tries) -> np.ndarray:
    volume = volume.as_tensor() if isinstance(volume, MetaTensor) else torch.as_tensor(volume)
    cubes = []
    for origin in origins:
        origin = draw_cube(volume, cube_size, criterion, rng, tries=tries)[0] if origin is None else origin
        cube = crop_pattern(volume, origin, cube_size, cube_size)
        cubes.append(adaptive_avg_pool3d(torch.as_tensor(cube).float(), size).flatten())
    table = torch.stack(cubes).double()
    table -= table.mean(dim=1, keepdim=True)
    lengths = table.norm(dim=1, keepdim=True)
    # what rounding leaves of a constant cube is no pattern
    return torch.where(lengths > 1e-6, table / lengths.clamp(min=1e-6), 0.0).float().numpy(force=True)
