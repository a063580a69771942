"""The data sets of the programme: images in memory, split by patient, and the draws of labelled patients."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from benchmarks.evidence.size import SMALL, Size
from medgenesis.errors import DatalistError

SECTIONS = ("training", "validation", "test")
_FOR_VALIDATION = 1000  # draws from here on choose rates; those below are the ones that test figures are of


@dataclass(frozen=True)
class Case:
    """One image of a patient.

    Args:
        patient: its number in the set; files and names of patients are nowhere written.
        image: on the network's grid, (1, *spatial), in [0, 1].
        label: on the grid that is scored, a multiple of the network's, (1, *fine), whole numbers; None: unlabelled.
        sides: voxels of the network's grid, centred, that are image and not border, (*spatial).
    """

    patient: int
    image: Tensor
    label: Tensor | None
    sides: tuple[int, ...]


@dataclass(frozen=True)
class StudySet:
    """A data set as the programme uses it.

    Args:
        name: in tables.
        structures: names of the labels 1, 2, …
        crop: sides of what is learnt from, voxels of the network's grid; multiples of 8 (images: of 32).
        cases: of `training` (labels are drawn here), `validation` and `test`.
        unlabelled: what pre-training learns from: the images of `training`, or more; none of validation or test.
        source: how the files were prepared, in words.
        files: fingerprint of their contents.
        size: of its networks, and of its grid.
        device: where they are trained and answer.
    """

    name: str
    structures: tuple[str, ...]
    crop: tuple[int, ...]
    cases: dict[str, list[Case]]
    unlabelled: list[Case]
    source: str
    files: str
    size: Size = SMALL
    device: str = "cpu"

    @property
    def dims(self) -> int:
        """Dimensions of the images, 2 or 3."""
        return len(self.crop)

    @property
    def made_of(self) -> dict[str, str]:
        """What the set is, as plain data for the settings of rows."""
        return {"set": self.name, "source": self.source, "files": self.files}

    def labelled(self, labels: int, draw: int) -> list[Case]:
        """The cases of so many training patients: the same of a draw for every arm, fewer among more.

        Two draws begin with different patients as long as there are enough.

        Raises:
            DatalistError: there are not as many patients.
        """
        patients = sorted({case.patient for case in self.cases["training"]})
        if labels > len(patients):
            raise DatalistError(
                f"labels: must be at most the {len(patients)} training patients of {self.name}; found {labels}. Ask "
                "for fewer."
            )
        family, number = divmod(draw, _FOR_VALIDATION)
        first = np.random.default_rng([family]).permutation(patients)[number % len(patients)]
        others = np.random.default_rng([family, number]).permutation([one for one in patients if one != first])
        chosen = [int(first), *map(int, others[: labels - 1])]
        return [case for one in chosen for case in self.cases["training"] if case.patient == one]


def validation_draw(number: int) -> int:
    """The draw that stands for number 0, 1, … of those on which rates are chosen: others than those of the test."""
    return _FOR_VALIDATION + number


def registry() -> dict[str, Callable[[Path, Size], StudySet]]:
    """Functions that read the sets, by name, in the order in which they run.

    Each takes a folder to keep them in, and the size of the programme.
    """
    from benchmarks.evidence.sets import chest_xrays, hippocampus, mr_volumes, nodules

    volumes = {"prostate": mr_volumes.prostate, "fetal_shift": mr_volumes.fetal_shift, "mouse": mr_volumes.mouse}
    ours = {"hippocampus": hippocampus.hippocampus, "lungs": chest_xrays.lungs, **volumes}
    return {**ours, "nodules": nodules.nodules}


def read_set(name: str, work: Path, size: Size = SMALL, device: str = "cpu") -> StudySet:
    """The set of this name, with its patients checked: each in one section.

    Args:
        name: of the registry.
        work: folder that keeps the prepared images, to be read from there the next time.
        size: of networks and grids.
        device: where they are.

    Raises:
        ValueError: an unknown name.
        DatalistError: the files are absent, or a patient is in two sections.
    """
    known = registry()
    if name not in known:
        raise ValueError(f"set: must be one of {', '.join(known)}; found {name!r}. Choose one of them.")
    found = replace(known[name](work, size), device=device)
    owners = {section: {case.patient for case in found.cases[section]} for section in SECTIONS}
    unseen = {"pre-training": {case.patient for case in found.unlabelled}}
    for first, second in (("training", "validation"), ("training", "test"), ("validation", "test")):
        _check_disjoint(name, first, owners[first], second, owners[second])
    for section in ("validation", "test"):
        _check_disjoint(name, "pre-training", unseen["pre-training"], section, owners[section])
    return found


def _check_disjoint(name: str, first: str, one: set[int], second: str, other: set[int]) -> None:
    if one & other:
        raise DatalistError(
            f"{name}: each patient must be in one section; found {len(one & other)} in both {first} and {second}. "
            "Correct the split."
        )
