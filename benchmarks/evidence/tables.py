"""The tables of a set: one label against scratch, then all else; only numbers that follow from rows."""

import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from benchmarks.evidence.choosing import BY, CHOSEN
from benchmarks.evidence.found import Found, Key
from benchmarks.evidence.protocol import (
    CHOICE_DRAWS,
    CHOICE_LABELS,
    LABELS,
    LONG,
    MEAN_MASK,
    MORE_STEPS,
    PLANS,
    RANDOM,
    SCRATCH,
    STEPS,
    Plan,
    arms_of,
)
from medgenesis.statistics.paired import Difference, holm, verdict

ABSENT = "–"


def against_scratch(found: Found) -> dict[tuple[str, int], tuple[Difference, float]]:
    """One label: each method's gain over scratch at equal steps, and its corrected p: (method, steps) -> both."""
    gains = {
        (method, steps): gain
        for method in found.methods("finetuned")
        for steps in STEPS
        if method != SCRATCH and (gain := found.gain(one_label(method, steps), one_label(SCRATCH, steps))) is not None
    }
    # all that is planned counts, a p before its time as 1: the family does not grow when a method is complete
    arms = [arm.method for arm in arms_of(found.dataset) if arm.readout == "finetuned" and arm.method != SCRATCH]
    p = dict.fromkeys(itertools.product(arms, STEPS), 1.0)
    p |= {key: gain.p if complete(gain, found.dataset) else 1.0 for key, gain in gains.items()}
    corrected = holm(p)
    return {key: (gain, corrected[key]) for key, gain in gains.items()}


def in_words(gain: Difference, p: float, dataset: str) -> str:
    """The verdict, once all planned draws are there; before, how many are."""
    if not complete(gain, dataset):
        return f"not yet: {gain.draws} of {PLANS[dataset].draws} draws"
    return verdict(gain.mean, p)


def complete(gain: Difference, dataset: str) -> bool:
    return gain.draws >= PLANS[dataset].draws


def scratch_table(found: Found) -> list[list[str]]:
    """One label: each method at each number of steps, against scratch with as many."""
    rows = [["steps", "method", "Dice (draws of all)", "minus scratch", "p (Holm)", "draws won", "in words"]]
    results = against_scratch(found)
    methods, draws = found.methods("finetuned"), PLANS[found.dataset].draws
    for steps in STEPS:
        means = found.means([one_label(method, steps) for method in methods], draws)
        for method in methods:
            cells = [str(steps), method, mean_of(found, means, one_label(method, steps), draws)]
            if (method, steps) in results:
                gain, p = results[method, steps]
                said = in_words(gain, p, found.dataset)
                shown = ABSENT if said.startswith("not yet") else f"{p:.4f}"
                cells += [interval(gain, "+"), shown, f"{gain.won}/{gain.draws}", said]
            else:
                cells += [ABSENT] * 4
            rows.append(cells)
    return rows


def fewer_steps_table(found: Found) -> list[list[str]]:
    """A method with fewer steps against scratch with more: what pre-training saves."""
    pairs = [(STEPS[0], STEPS[1]), *([(STEPS[1], LONG)] if PLANS[found.dataset].long else [])]
    rows = [["method", *(f"{few} steps minus scratch at {more}" for few, more in pairs)]]
    for method in found.methods("finetuned"):
        if method != SCRATCH:
            gains = [found.gain(one_label(method, few), one_label(SCRATCH, more)) for few, more in pairs]
            rows.append([method, *(so_far(gain, PLANS[found.dataset].draws) for gain in gains)])
    return rows


def untuned_table(found: Found) -> list[list[str]]:
    """Answers without any fine-tuning against scratch with few steps and more, and against the trivial answer."""
    rows = [["method", "readout", *(f"minus scratch at {steps}" for steps in STEPS), "minus the mean mask"]]
    trivial = (MEAN_MASK, "one_shot", LABELS, 0)
    for readout in ("one_shot", "frozen"):
        for method in found.methods(readout):
            key = (method, readout, LABELS, 0)
            others = [*(one_label(SCRATCH, steps) for steps in STEPS), *([trivial] if key != trivial else [])]
            cells = [so_far(found.gain(key, other), PLANS[found.dataset].draws) for other in others]
            rows.append([method, readout, *cells, *[ABSENT] * (len(STEPS) + 1 - len(cells))])
    return rows


def frozen_table(found: Found) -> list[list[str]]:
    """Without fine-tuning, one label: frozen features, the untrained network, the trivial answer."""
    rows = [["method", "readout", "Dice", "minus the untrained network"]]
    untrained = (RANDOM, "frozen", LABELS, 0)
    keys = [(method, readout, LABELS, 0) for readout in ("one_shot", "frozen") for method in found.methods(readout)]
    draws = PLANS[found.dataset].draws
    means = found.means(keys, draws)
    for key in keys:
        gain = ABSENT if key == untrained or key not in means else interval(found.gain(key, untrained), "+")
        rows.append([*key[:2], mean_of(found, means, key, draws), gain])
    return rows


def labels_table(found: Found) -> list[list[str]]:
    """Dice over numbers of labels, fine-tuned with `MORE_STEPS` steps, frozen, and answers without training."""
    arms, plan = _arms(found), PLANS[found.dataset]
    means = _over_labels(found, arms)
    heads = [f"{count} label{'s' * (count > 1)}{_draws(means[count], plan.other_draws)}" for count in means]
    return [
        ["method", "readout", *heads],
        *([*arm, *(mean_of(found, means[n], labels_key(*arm, n), plan.other_draws) for n in means)] for arm in arms),
    ]


def fewer_labels_table(found: Found) -> list[list[str]]:
    """With as many labels as scratch and with fewer: what pre-training saves; scratch with `MORE_STEPS` steps."""
    counts, planned = _label_counts(found), PLANS[found.dataset].other_draws
    others = {n: labels_key(SCRATCH, "finetuned", n) for n in counts}
    others = {n: key for n, key in others.items() if key in found.scores}
    rows = [["labels", "method", "readout", *(f"minus scratch with {n}" for n in others)]]
    for labels, (method, readout) in itertools.product(counts, _arms(found)):
        key = labels_key(method, readout, labels)
        gains = {n: found.gain(key, other) for n, other in others.items() if n >= labels and key != other}
        if any(gains.values()):
            rows.append([str(labels), method, readout, *(so_far(gains.get(n), planned) for n in others)])
    return rows


def steps_table(found: Found) -> list[list[str]]:
    """Dice over steps of fine-tuning, one label."""
    methods, plan = found.methods("finetuned"), PLANS[found.dataset]
    means, planned = _over_steps(found, methods), {n: _planned_at(plan, n) for n in all_steps(found)}
    return [
        ["method", *(f"{count} steps{_draws(means[count], planned[count])}" for count in means)],
        *([method, *(mean_of(found, means[n], one_label(method, n), planned[n]) for n in means)] for method in methods),
    ]


def so_far(gain: Difference | None, planned: int) -> str:
    """A gain, with the number of its draws until all that are planned are there."""
    shown = interval(gain, "+")
    return shown if gain is None or gain.draws >= planned else f"{shown} ({gain.draws} of {planned} draws)"


def choosing_table(found: Found) -> list[list[str]]:
    """Patients chosen by features against the same number drawn at random, with the same weights."""
    rows = [["patients", "labels", "readout", "steps", "Dice", "minus drawn at random", "draws beaten"]]
    for labels, (readout, steps) in itertools.product(
        CHOICE_LABELS, [*(("finetuned", n) for n in STEPS), ("frozen", 0)]
    ):
        drawn = (BY, readout, labels, steps)
        for method, strategy in CHOSEN.items():
            chosen = (method, readout, labels, steps)
            if (gain := found.over_draws(chosen, drawn)) is not None:
                dice = np.mean([one for scores in found.scores[chosen].values() for one in scores.values()])
                beaten = f"{gain.won} of {gain.draws}" + f" ({CHOICE_DRAWS} planned)" * (gain.draws < CHOICE_DRAWS)
                cells = [str(labels), readout, str(steps or ABSENT), f"{dice:.3f}", interval(gain, "+"), beaten]
                rows.append([strategy, *cells])
    return rows


def curves_over_steps(found: Found) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean Dice of each method over log2 of the steps, one label."""
    methods = found.methods("finetuned")
    means = _over_steps(found, methods)
    curves = _curves({m: {n: means[n].get(one_label(m, n)) for n in means} for m in methods})
    return {name: (np.log2(steps), dice) for name, (steps, dice) in curves.items()}


def curves_over_labels(found: Found) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean Dice of each method over the number of labels."""
    arms = _arms(found)
    means = _over_labels(found, arms)
    return _curves({", ".join(arm): {n: means[n].get(labels_key(*arm, n)) for n in means} for arm in arms})


def _over_labels(found: Found, arms: list[tuple[str, str]]) -> dict[int, dict[Key, Difference]]:
    draws = PLANS[found.dataset].other_draws
    return {n: found.means([labels_key(*arm, n) for arm in arms], draws) for n in _label_counts(found)}


def _over_steps(found: Found, methods: list[str]) -> dict[int, dict[Key, Difference]]:
    plan = PLANS[found.dataset]
    return {
        n: found.means([one_label(method, n) for method in methods], _planned_at(plan, n)) for n in all_steps(found)
    }


def _planned_at(plan: Plan, steps: int) -> int:
    """Draws of one label with so many steps."""
    return plan.draws if steps in (*STEPS, LONG) else plan.other_draws


def mean_of(found: Found, means: Mapping[Key, Difference], key: Key, planned: int) -> str:
    """The mean of an arm, or how many of its draws have run."""
    if key in means or key not in found.scores:
        return interval(means.get(key))
    return f"{len(found.scores[key])} of {planned} draws"


def _arms(found: Found) -> list[tuple[str, str]]:
    """Method and readout of all that has rows."""
    return [(method, one) for one in ("finetuned", "frozen", "one_shot") for method in found.methods(one)]


def _label_counts(found: Found) -> tuple[int, ...]:
    return (LABELS, *PLANS[found.dataset].other_labels)


def _draws(means: Mapping[Key, Difference], planned: int) -> str:
    """How many of the planned draws a column is of."""
    return f" ({min(planned, next(iter(means.values())).draws)} of {planned} draws)" if means else ""


def all_steps(found: Found) -> list[int]:
    """The numbers of steps of one label."""
    plan = PLANS[found.dataset]
    return sorted({*STEPS, *plan.other_steps, *([LONG] if plan.long else [])})


def interval(one: Difference | None, sign: str = "") -> str:
    """A mean with its interval, to three digits; a dash without."""
    if one is None:
        return ABSENT
    form = f"{sign}.3f"
    return f"{one.mean:{form}}" + ("" if np.isnan(one.low) else f" [{one.low:{form}}, {one.high:{form}}]")


def one_label(method: str, steps: int) -> Key:
    """The key of a fine-tuning from one label."""
    return (method, "finetuned", LABELS, steps)


def labels_key(method: str, readout: str, labels: int) -> Key:
    """The key of an arm with so many labels; fine-tuned with `MORE_STEPS` steps."""
    return (method, readout, labels, MORE_STEPS if readout == "finetuned" else 0)


def _curves(means: dict[str, dict[int, Difference | None]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    there = {name: {n: one.mean for n, one in own.items() if one is not None} for name, own in means.items()}
    return {name: _arrays(own.items()) for name, own in there.items() if own}


def _arrays(points: Iterable[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    x, y = zip(*points, strict=True)
    return np.array(x, dtype=float), np.array(y)
