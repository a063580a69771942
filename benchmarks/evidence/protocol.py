"""The numbers of PROTOCOL.md: arms, budgets, draws, seeds, and the order in which cells run."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.evidence.pretexts import PRETEXTS
from benchmarks.evidence.rows import Cell

VERSION = 1  # part of every cell's settings: one more where code changes what a cell's rows are
SCRATCH, RANDOM, MEAN_MASK = "scratch", "random", "mean_mask"

PRIMARY_LABELS, PRIMARY_STEPS, PRIMARY_DRAWS = 1, (50, 200), 20
LONG = 1600  # steps of scratch beside
SEEDS = (0, 1, 2)
OTHER_STEPS = (25, 100, 400)  # secondary, of one label
OTHER_LABELS, OTHER_LABELS_STEPS, OTHER_DRAWS = (2, 3, 5, 10), 400, 10

RATES = (1e-3, 3e-3, 1e-2)
LONG_RATES = RATES[:2]  # of `LONG` steps
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # of frozen readouts
VALIDATION_DRAWS = 4
TUNED = {1: (50, 200, LONG), 3: (OTHER_LABELS_STEPS,)}  # labels -> steps at which values are chosen


@dataclass(frozen=True)
class Arm:
    """A method with a readout: a line of the tables.

    Args:
        method: `scratch`, `random`, `mean_mask`, or of `PRETEXTS`.
        readout: as in the rows.
        values: of its one hyper-parameter, of which validation chooses; empty where it has none.
    """

    method: str
    readout: str
    values: tuple[float, ...] = ()

    @property
    def trained(self) -> bool:
        """Whether it begins with the weights of a pretext."""
        return self.method in PRETEXTS

    def values_at(self, steps: int) -> tuple[float, ...]:
        """The candidates for so many steps."""
        return LONG_RATES if steps == LONG else self.values


ARMS = (
    Arm(MEAN_MASK, "one_shot"),
    Arm(SCRATCH, "finetuned", RATES),
    *(Arm(name, "finetuned", RATES) for name in PRETEXTS),
    Arm(RANDOM, "frozen", PENALTIES),
    *(Arm(name, "frozen", PENALTIES) for name in PRETEXTS),
)


def tuned_at(labels: int, steps: int) -> tuple[int, int]:
    """Labels and steps at which the value for these is chosen: the nearest, by ratio, of two alike near the larger."""
    near = min(TUNED, key=lambda known: (abs(math.log(known / labels)), -known)) if labels > 1 else 1
    if steps == 0:
        return near, 0
    return near, min(TUNED[near], key=lambda known: (abs(math.log(known / steps)), -known))


def planned(dataset: str) -> Iterator[Cell]:
    """All test cells of a set, in the order in which they run: what is paired soonest, first."""
    for seed in SEEDS:
        for arms in _groups():
            for draw, arm in itertools.product(range(PRIMARY_DRAWS), arms):
                yield from _cells(dataset, arm, PRIMARY_LABELS, draw, seed, PRIMARY_STEPS)
        if seed == SEEDS[0]:
            yield from _long(dataset, seed)
    for seed, draw in itertools.product(SEEDS, range(OTHER_DRAWS)):
        for labels, arm in itertools.product(OTHER_LABELS, ARMS):
            yield from _cells(dataset, arm, labels, draw, seed, (OTHER_LABELS_STEPS,))
        for arm in ARMS:
            if arm.readout == "finetuned":
                yield from _cells(dataset, arm, PRIMARY_LABELS, draw, seed, OTHER_STEPS)
    for seed in SEEDS[1:]:
        yield from _long(dataset, seed)


def _groups() -> Iterator[list[Arm]]:
    """Arms without a pretext and those of the first one; then those of each further pretext."""
    first, *others = PRETEXTS
    yield [arm for arm in ARMS if not arm.trained or arm.method == first]
    for name in others:
        yield [arm for arm in ARMS if arm.method == name]


def _long(dataset: str, seed: int) -> Iterator[Cell]:
    for draw in range(PRIMARY_DRAWS):
        yield Cell(dataset, SCRATCH, "finetuned", PRIMARY_LABELS, draw, seed, LONG)


def _cells(dataset: str, arm: Arm, labels: int, draw: int, seed: int, steps: tuple[int, ...]) -> Iterator[Cell]:
    if arm.readout == "one_shot" and not arm.trained and seed > 0:
        return  # nothing of it is drawn but the patients
    for count in steps if arm.readout == "finetuned" else (0,):
        yield Cell(dataset, arm.method, arm.readout, labels, draw, seed, count)
