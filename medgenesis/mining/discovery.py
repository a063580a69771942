"""Discovery of anatomical patterns: the same place in the patients who resemble each other."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medgenesis.data.crop_criteria import get_criterion
from medgenesis.mining.coordinates import RESOLUTIONS, draw_rescaled
from medgenesis.mining.discovery_input import (
    DiscoverySettings,
    check_eligibility,
    check_resumed,
    checked_features,
)
from medgenesis.mining.geometry import VolumeInfo
from medgenesis.mining.neighbours import PatientNeighbours
from medgenesis.mining.patterns import MINED_SECTIONS, PREPARED, PatternTable
from medgenesis.mining.reference_search import ReferenceSearch
from medgenesis.renamed import renamed_arguments
from medgenesis.storage.fingerprints import fingerprint

logger = logging.getLogger(__name__)

_SAVE_EVERY = 60.0  # seconds: what a killed run loses at most
_WANTED = {"training": "train_patients", "validation": "validation_patients"}


@renamed_arguments(rule="criterion")
def discover(
    volumes: Sequence[VolumeInfo],
    features: np.ndarray,
    load: Callable[[int], torch.Tensor],
    *,
    on_error: str = "stop",
    resume: PatternTable | None = None,
    on_class: Callable[[PatternTable], None] | None = None,
    **settings: Any,
) -> PatternTable:
    """Find patterns: for each class a reference patient, a coordinate in it, and that place in its nearest patients.

    For each class a training patient is drawn who was not the reference of an earlier class, and in it (in one of its
    volumes, drawn at random) positions until one holds a cube that the rule accepts and that is at least `min_distance`
    from those of all earlier classes; after `tries` positions another patient is drawn. The class is the cube of the
    same coordinate in the nearest `train_patients` training patients, the reference included, and in the nearest
    `validation_patients` of validation. Neighbours are patients: of several volumes the nearest stands for its patient.

    Args:
        volumes: of the sections "training" and "validation"; others are passed over.
        features: (N, F), one row a volume, finite.
        load: gives volume i, counted as in `volumes`, as (C, X, Y, Z) in [0, 1]. References alone are loaded, one held
            at a time.
        on_error: "stop" at a volume smaller than the cube, or "skip" it with a warning.
        resume: a table of the first classes, as `on_class` received it: its classes are kept, the rest is found. The
            result is that of an uninterrupted run.
        on_class: called with the table so far after each class, to save it.
        **settings: fields of `DiscoverySettings` that are not to be the defaults.

    Raises:
        TypeError: a setting that does not exist.
        ValueError: a setting out of its range, or one that differs from those of `resume`.
        DatalistError: fewer patients than asked for, or a patient (or file) in both sections.
        VolumeError: a volume that is too small, does not go with the others or is not what its features were computed
            from; features that are not finite; no admissible coordinate left (the classes found by then are safe with
            `on_class`).
        IntensityRangeError: a reference with values outside [0, 1] (its voxels are sampled).
        MissingPackageError: `index="faiss"` without the package.

    References:
        Haghighi et al., Semantic Genesis, arXiv 2007.06959, section 2; TransVW, arXiv 2102.10680.

    Notes:
        In the published program one collision with an earlier coordinate rejects a reference for good; here another
        position is drawn, and a patient that failed may be drawn again for a later class.
    """
    search = _Discovery(volumes, features, load, DiscoverySettings(**settings), on_error)
    table = search.begun(resume)
    while table.num_classes < search.settings.classes:
        table = search.with_next_class(table)
        if on_class is not None:
            on_class(table)
    return table


class _Discovery:
    """What finding one class after another needs: the volumes that take part, and who is near whom among them."""

    def __init__(self, volumes, features, load, settings: DiscoverySettings, on_error: str) -> None:
        kept, self.coordinates = check_eligibility(volumes, settings, on_error)
        features = checked_features(features, volumes, kept)
        self.settings, self.volumes = settings, [volumes[i] for i in kept]
        self.said = {**settings.plain(), "coordinates": self.coordinates.mode, "features": fingerprint(features)}
        self.members = {
            section: [i for i, volume in enumerate(self.volumes) if volume.section == section]
            for section in MINED_SECTIONS
        }
        self.row_of = {i: row for row, i in enumerate(self.members["training"])}
        self.neighbours = {
            section: PatientNeighbours(features[own], [self.volumes[i].patient for i in own], settings.index)
            for section, own in self.members.items()
            if getattr(settings, _WANTED[section])
        }
        self.search = ReferenceSearch(
            {i: self.volumes[i] for i in self.members["training"]},
            lambda i: load(kept[i]),
            self.coordinates,
            get_criterion(settings.criterion),
            settings.min_distance,
            settings.tries,
        )

    def begun(self, resume: PatternTable | None) -> PatternTable:
        """The table to start with: empty, or a partial one to go on from."""
        if resume is None:
            return PatternTable(self.said, self.volumes, [], [])
        check_resumed(resume, self.volumes, self.said)
        logger.info("resumed: %d of %d classes were found before", resume.num_classes, self.settings.classes)
        return PatternTable(self.said, self.volumes, resume.training, resume.validation)

    def with_next_class(self, table: PatternTable) -> PatternTable:
        """Another table, with the cubes of the next class; the given one stays whole, whenever this is stopped."""
        begun, number = time.perf_counter(), table.num_classes
        rng = np.random.RandomState([self.settings.seed, number])
        place_of = {self.volumes[i].image: i for i in self.members["training"]}
        earlier = [(place_of[item["image"]], tuple(item["origin"])) for item in table.references]
        reference, origin = self.search.draw(earlier, rng)
        shared = self.coordinates.share(origin, self.volumes[reference])
        found: dict[str, list[dict]] = {section: [] for section in MINED_SECTIONS}
        moved, left_out = 0, 0
        for section in self.neighbours:
            for i, distance in self._nearest(section, reference):
                start, was_moved = self.coordinates.place(shared, self.volumes[i])
                cubes = self._cubes(i, start, section, rng)
                moved, left_out = moved + was_moved, left_out + cubes.count(None)
                found[section].extend(
                    self._item(i, number, resolution, cube, distance, resolution == 1 and i == reference)
                    for resolution, cube in enumerate(cubes, start=1)
                    if cube is not None
                )
        said = "class %d of %d: first voxel %s of volume %d; %d cubes moved inside, %d rescaled fit nowhere; %.1f s"
        seconds = time.perf_counter() - begun
        logger.info(said, number + 1, self.settings.classes, origin, reference, moved, left_out, seconds)
        return PatternTable(
            self.said, self.volumes, table.training + found["training"], table.validation + found["validation"]
        )

    def _nearest(self, section: str, reference: int) -> list[tuple[int, float]]:
        """Volume and distance of the patients of a class, the reference first in training."""
        count, own = getattr(self.settings, _WANTED[section]), self.members[section]
        vector = self.neighbours["training"].index.features[self.row_of[reference]]
        found = self.neighbours[section].nearest(vector, count)
        found = [(own[row], distance) for row, distance in found]
        if section != "training":
            return found
        patient = self.volumes[reference].patient
        others = [pair for pair in found if self.volumes[pair[0]].patient != patient]
        return [(reference, 0.0), *others[: count - 1]]

    def _cubes(self, i: int, start: tuple[int, ...], section: str, rng: np.random.RandomState) -> list[tuple | None]:
        """First voxel and size at each resolution."""
        size = self.coordinates.size
        cubes: list[tuple | None] = [(start, size)]
        if self.settings.multi_resolution and section == "training":
            shape, tries = self.volumes[i].shape, self.settings.tries
            cubes += [draw_rescaled(start, size, shape, rng, tries) for _ in RESOLUTIONS[1:]]
        return cubes

    def _item(self, i: int, number: int, resolution: int, cube: tuple, distance: float, reference: bool) -> dict:
        volume = self.volumes[i]
        return {
            "image": volume.image,
            "patient": volume.patient,
            "class": number,
            "resolution": resolution,
            "origin": list(cube[0]),
            "size": list(cube[1]),
            "distance": distance,
            "reference": reference,
        }


class PartialTable:
    """The newest table, written once a minute at most, and when the `with` block ends or is stopped.

    A table is written whole, which takes longer than to find a class.

    Args:
        path: of the file.
        prepared: settings of the preprocessing, noted in the table.
    """

    def __init__(self, path: Path, prepared: Mapping[str, Any]) -> None:
        self.path, self.prepared, self.table, self.saved = path, dict(prepared), None, time.monotonic()

    def __call__(self, table: PatternTable) -> None:
        """Take note of a newer table: the `on_class` of `discover`."""
        table.settings[PREPARED] = self.prepared
        self.table = table
        if time.monotonic() - self.saved > _SAVE_EVERY:
            table.save(self.path)
            self.saved = time.monotonic()

    def __enter__(self) -> "PartialTable":
        return self

    def __exit__(self, *_: object) -> None:
        if self.table is not None:
            self.table.save(self.path)
