"""The tables of a head on all levels: against every way of scratch, and what is asked again with other patients."""

import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from benchmarks.evidence.found import Found
from benchmarks.evidence.probing import LEVELS, ON_ALL_LEVELS, SCRATCH_WAYS
from benchmarks.evidence.protocol import LONG, PLANS, SCRATCH, STEPS, level_arms_of
from benchmarks.evidence.tables import ABSENT, interval, mean_of, one_label, so_far
from medgenesis.statistics.paired import Difference, holm, verdict

_ALONE = "p over scratch alone (Holm)"
_MINUS = [f"minus {name}" for name in SCRATCH_WAYS.values()]

Gains = dict[tuple[str, int], tuple[dict[str, Difference], float]]
"""(method, steps) -> its gains over ways of scratch, and the corrected p that it differs from all, the largest."""


def over_scratches(found: Found, ways: Iterable[str] = SCRATCH_WAYS) -> Gains:
    """Of each pretext whose head is on all levels, one label; corrected over all that are planned."""
    methods = [arm.method for arm in level_arms_of(found.dataset) if arm.method not in SCRATCH_WAYS]
    return _over(found, methods, ways, PLANS[found.dataset].draws)


def over_scratches_again(found: Found) -> Gains:
    """Of what is asked again; corrected over that alone."""
    if found.again is None:
        return {}
    return _over(found.again, PLANS[found.dataset].again, SCRATCH_WAYS, PLANS[found.dataset].again_draws)


def in_words(gains: Mapping[str, Difference], p: float, planned: int) -> str:
    """The verdict over all ways of scratch, once all planned draws of all are there."""
    if absent := [name for name in SCRATCH_WAYS if name not in gains]:
        return f"not yet: no {', '.join(absent)}"
    if (draws := min(gain.draws for gain in gains.values())) < planned:
        return f"not yet: {draws} of {planned} draws"
    return verdict(min(gains.values(), key=lambda gain: abs(gain.mean)).mean, p)


def levels_table(found: Found) -> list[list[str]]:
    """One label: fine-tuning with a head on all levels, begun at random or with the frozen readout, against scratch."""
    rows = [["steps", "weights", "head begins", "Dice (draws of all)", *_MINUS, "p (Holm)", "in words", _ALONE]]
    alone, results, draws = over_scratches(found, [SCRATCH]), over_scratches(found), PLANS[found.dataset].draws
    methods = [arm.method for arm in level_arms_of(found.dataset)]
    for steps in STEPS:
        keys = [one_label(method, steps) for method in methods if one_label(method, steps) in found.scores]
        means = found.means([one_label(SCRATCH, steps), *keys], draws)
        for key in keys:
            name = ON_ALL_LEVELS[key[0]]
            cells = [str(steps), "none" if name == SCRATCH else name, "at random" if key[0] in LEVELS else "as readout"]
            cells.append(mean_of(found, means, key, draws))
            for other in SCRATCH_WAYS:
                own = key[0] in SCRATCH_WAYS and other != SCRATCH
                cells.append(ABSENT if own else so_far(found.gain(key, one_label(other, steps)), draws))
            if (key[0], steps) in results:
                gains, p = results[key[0], steps]
                said = in_words(gains, p, draws)
                cells += [ABSENT if said.startswith("not yet") else f"{p:.4f}", said]
                whole = SCRATCH in gains and gains[SCRATCH].draws >= draws
                cells.append(f"{alone[key[0], steps][1]:.4f}" if whole else ABSENT)
            else:
                cells += [ABSENT] * 3
            rows.append(cells)
    return rows


def levels_fewer_table(found: Found) -> list[list[str]]:
    """Head on all levels, 50 steps against scratch with 200 in all its ways; 200 against 800 where those are run."""
    few, more = STEPS
    long = [other for other in SCRATCH_WAYS if other in PLANS[found.dataset].long]
    pairs = [*((few, other, more) for other in SCRATCH_WAYS), *((more, other, LONG) for other in long)]
    rows = [["method", *(f"{own} steps minus {SCRATCH_WAYS[other]} at {steps}" for own, other, steps in pairs)]]
    for method in (arm.method for arm in level_arms_of(found.dataset)):
        if one_label(method, few) in found.scores:
            gains = [found.gain(one_label(method, own), one_label(other, steps)) for own, other, steps in pairs]
            rows.append([method, *(so_far(gain, PLANS[found.dataset].draws) for gain in gains)])
    return rows


def long_table(found: Found) -> list[list[str]]:
    """Whether a gain is left after many steps: the methods that are run with `LONG`, one label."""
    plan = PLANS[found.dataset]
    ways = [other for other in SCRATCH_WAYS if other in plan.long]
    rows = [["method", "Dice (draws of all)", *(f"minus {SCRATCH_WAYS[other]}" for other in ways)]]
    keys = [one_label(method, LONG) for method in plan.long]
    means = found.means(keys, plan.draws)
    for key in keys:
        if key in found.scores:
            gains = [None if key[0] == other else found.gain(key, one_label(other, LONG)) for other in ways]
            rows.append(
                [
                    key[0],
                    mean_of(found, means, key, plan.draws),
                    *(so_far(gain, plan.draws) for gain in gains),
                ]
            )
    return rows


def again_table(found: Found) -> list[list[str]]:
    """One label, other draws: the methods that are asked again against all ways of scratch."""
    rows = [["steps", "method", "Dice", *_MINUS, "p (Holm)", "draws", "in words"]]
    for (method, steps), (gains, p) in over_scratches_again(found).items():
        key, planned = one_label(method, steps), PLANS[found.dataset].again_draws
        said, draws = in_words(gains, p, planned), min(gain.draws for gain in gains.values())
        cells = [interval(found.again.means([key], planned)[key])]
        cells += [interval(gains.get(other), "+") for other in SCRATCH_WAYS]
        cells.append(ABSENT if said.startswith("not yet") else f"{p:.4f}")
        rows.append([str(steps), method, *cells, f"{draws} of {planned}", said])
    return rows


def _over(found: Found, methods: Iterable[str], ways: Iterable[str], draws: int) -> Gains:
    """Of these methods over these ways; p is 1 until all the planned draws are there, or where gains differ in sign."""
    all_gains, p = {}, {}
    for method, steps in itertools.product(methods, STEPS):
        gains = {other: found.gain(one_label(method, steps), one_label(other, steps)) for other in ways}
        there = {other: gain for other, gain in gains.items() if gain is not None}
        if there:
            all_gains[method, steps] = there
        whole = len(there) == len(gains) and all(gain.draws >= draws for gain in there.values())
        alike = whole and len({np.sign(gain.mean) for gain in there.values()}) == 1
        p[method, steps] = max(gain.p for gain in there.values()) if alike else 1.0
    corrected = holm(p)
    return {key: (gains, corrected[key]) for key, gains in all_gains.items()}
