"""The numbers of PROTOCOL.md: arms, budgets, draws, seeds, and the order in which cells run."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.evidence.choosing import BY, CHOSEN
from benchmarks.evidence.pretexts import PRETEXTS, PROMPTED
from benchmarks.evidence.probing import ON_ALL_LEVELS, RANDOM, SCRATCH, SCRATCH_WAYS
from benchmarks.evidence.rows import Cell

MEAN_MASK, MEAN_TEACHER = "mean_mask", "mean_teacher"

SEEDS = (0, 1, 2)
LABELS, STEPS, LONG = 1, (50, 200), 800  # of the main table; LONG of scratch beside: four times as many
LONG_WAYS = (SCRATCH, f"{SCRATCH}_levels", f"{PROMPTED}_probed")  # with `LONG` steps
MORE_STEPS = 400  # with more labels
CHOICE_LABELS, CHOICE_DRAWS = (1, 3), 20  # of choosing the patients: with one label `STEPS` too, else frozen alone


@dataclass(frozen=True)
class Plan:
    """How much of a set is run; each draw has one of the `SEEDS` (draw mod 3), the same in all arms.

    Args:
        dims: of the images.
        primary: whether it is the primary end point.
        draws: of one label with `STEPS`.
        long: methods that are run with `LONG` steps too, scratch first.
        other_labels: more labels, with `MORE_STEPS` steps.
        other_steps: of one label.
        other_draws: of the last two.
        choosing: whether patients chosen by features are compared with those drawn at random.
        again: methods of `ON_ALL_LEVELS` that are asked again, with draws from `AGAIN` on, against all ways of scratch.
        again_draws: how many draws: at most as many as there are training patients.
        without: pretexts that cannot be trained on the set; they count in its corrections all the same.
    """

    dims: int = 3
    primary: bool = False
    draws: int = 10
    long: tuple[str, ...] = ()
    other_labels: tuple[int, ...] = (3,)
    other_steps: tuple[int, ...] = ()
    other_draws: int = 10
    choosing: bool = False
    again: tuple[str, ...] = ()
    again_draws: int = 20
    without: tuple[str, ...] = ()


PLANS = {
    "hippocampus": Plan(3, True, 20, LONG_WAYS, (2, 3, 5, 10), (25, 100, 400), choosing=True),
    "lungs": Plan(2, choosing=True),
    "prostate": Plan(choosing=True, again=("dense_contrast_levels",), again_draws=14),
    "fetal_shift": Plan(again=("dense_contrast_probed",), again_draws=14),
    "mouse": Plan(choosing=True),
    "nodules": Plan(choosing=True, again=(f"{PROMPTED}_probed",), without=("transvw", "semantic_genesis")),
}

AGAIN = 20  # the first draw that no table but that of the methods asked again is of

RATES = (1e-3, 3e-3, 1e-2)
LONG_RATES = RATES[:2]  # of `LONG` steps
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # of frozen readouts
VALIDATION_DRAWS = 4
TUNED = {1: (*STEPS, LONG), 3: (MORE_STEPS,)}  # labels -> steps at which values are chosen


@dataclass(frozen=True)
class Arm:
    """A method with a readout: a line of the tables.

    Args:
        method: `scratch`, `mean_teacher`, `random`, `mean_mask`, or of `PRETEXTS` or `ON_ALL_LEVELS`.
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
    Arm(MEAN_TEACHER, "finetuned", RATES),
    Arm(PROMPTED, "one_shot"),
    Arm(RANDOM, "frozen", PENALTIES),
    *(Arm(name, "frozen", PENALTIES) for name in PRETEXTS),
)

LEVEL_ARMS = tuple(Arm(name, "finetuned", RATES) for name in ON_ALL_LEVELS)  # a table of their own
METHODS = (*dict.fromkeys(arm.method for arm in ARMS), *ON_ALL_LEVELS, *CHOSEN)


def tuned_at(labels: int, steps: int) -> tuple[int, int]:
    """Labels and steps at which the value for these is chosen: the nearest, by ratio, of two alike near the larger.

    `LONG` is chosen for itself alone: few methods have it.
    """
    near = min(TUNED, key=lambda known: (abs(math.log(known / labels)), -known)) if labels > 1 else 1
    if steps == 0:
        return near, 0
    known = [one for one in TUNED[near] if one != LONG or steps == LONG]
    return near, min(known, key=lambda one: (abs(math.log(one / steps)), -one))


def planned(dataset: str) -> Iterator[Cell]:
    """All test cells of a set, each once, in the order in which they run: what is paired soonest, first."""
    without = PLANS[dataset].without
    cells = dict.fromkeys(_in_order(dataset))
    yield from (cell for cell in cells if ON_ALL_LEVELS.get(cell.method, cell.method) not in without)


def arm_of(cell: Cell) -> Arm:
    """The arm of a cell; of chosen patients that whose weights they are for."""
    method = BY if cell.method in CHOSEN else cell.method
    return next(arm for arm in (*ARMS, *LEVEL_ARMS) if (arm.method, arm.readout) == (method, cell.readout))


def _in_order(dataset: str) -> Iterator[Cell]:
    plan, every = PLANS[dataset], arms_of(dataset)
    for number, arms in enumerate(_groups(every)):
        for draw, arm in itertools.product(range(plan.draws), arms):
            yield from _cells(dataset, arm, LABELS, draw, STEPS)
        if number == 0 and plan.choosing:
            yield from _choosing(dataset)
    for arm, draw in itertools.product(level_arms_of(dataset), range(plan.draws)):
        yield from _cells(dataset, arm, LABELS, draw, STEPS)
    again = range(AGAIN, AGAIN + plan.again_draws)
    for draw, method in itertools.product(again, (*SCRATCH_WAYS, *plan.again) if plan.again else ()):
        for steps in STEPS:
            yield Cell(dataset, method, "finetuned", LABELS, draw, seed_of(draw), steps)
    for draw, method in itertools.product(range(plan.draws), plan.long):
        yield Cell(dataset, method, "finetuned", LABELS, draw, seed_of(draw), LONG)
    for draw in range(plan.other_draws):
        for labels, arm in itertools.product(plan.other_labels, every):
            yield from _cells(dataset, arm, labels, draw, (MORE_STEPS,))
        for arm in every:
            if arm.readout == "finetuned":
                yield from _cells(dataset, arm, LABELS, draw, plan.other_steps)


def seed_of(draw: int) -> int:
    """The one seed of a draw: of the pretext, of the head, of the order of the crops."""
    return SEEDS[draw % len(SEEDS)]


def arms_of(dataset: str) -> list[Arm]:
    """The arms of a set: some pretexts are for volumes or for images alone."""
    return [arm for arm in ARMS if not arm.trained or PLANS[dataset].dims in PRETEXTS[arm.method].dims]


def level_arms_of(dataset: str) -> list[Arm]:
    """The arms of a set with a head on all levels: begun at random, scratch first; then with the frozen readout."""
    own = {arm.method for arm in arms_of(dataset)}
    return [arm for arm in LEVEL_ARMS if ON_ALL_LEVELS[arm.method] in own]


def _choosing(dataset: str) -> Iterator[Cell]:
    """The patients that the weights of each seed choose, and as many at random."""
    for method, labels, seed in itertools.product(CHOSEN, CHOICE_LABELS, SEEDS):
        yield Cell(dataset, method, "frozen", labels, seed, seed, 0)
        for steps in STEPS if labels == LABELS else ():
            yield Cell(dataset, method, "finetuned", labels, seed, seed, steps)
    for labels, draw in itertools.product(CHOICE_LABELS, range(CHOICE_DRAWS)):
        yield Cell(dataset, BY, "frozen", labels, draw, seed_of(draw), 0)
        for steps in STEPS if labels == LABELS else ():
            yield Cell(dataset, BY, "finetuned", labels, draw, seed_of(draw), steps)


def _groups(arms: list[Arm]) -> Iterator[list[Arm]]:
    """Arms without a pretext and those of the first one; then those of each further pretext, and the mean teacher."""
    first, *others = dict.fromkeys(arm.method for arm in arms if arm.trained)
    yield [arm for arm in arms if arm.method not in (*others, MEAN_TEACHER)]
    for name in (*others, MEAN_TEACHER):
        yield [arm for arm in arms if arm.method == name]


def _cells(dataset: str, arm: Arm, labels: int, draw: int, steps: tuple[int, ...]) -> Iterator[Cell]:
    for count in steps if arm.readout == "finetuned" else (0,):
        yield Cell(dataset, arm.method, arm.readout, labels, draw, seed_of(draw), count)
