"""The tables of a set: one label against scratch, then all else; only numbers that follow from rows."""

from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.evidence.found import Found, Key
from benchmarks.evidence.protocol import LABELS, LONG, MEAN_MASK, MORE_STEPS, PLANS, RANDOM, SCRATCH, SEEDS, STEPS
from benchmarks.evidence.statistics import Difference, holm, verdict

ABSENT = "–"


def against_scratch(found: Found) -> dict[tuple[str, int], tuple[Difference, float]]:
    """One label: each method's gain over scratch at equal steps, and its corrected p: (method, steps) -> both."""
    gains = {
        (method, steps): gain
        for method in found.methods("finetuned")
        for steps in STEPS
        if method != SCRATCH and (gain := found.gain(_one(method, steps), _one(SCRATCH, steps))) is not None
    }
    corrected = holm({key: gain.p if np.isfinite(gain.p) else 1.0 for key, gain in gains.items()})
    return {key: (gain, corrected[key]) for key, gain in gains.items()}


def in_words(gain: Difference, p: float, dataset: str) -> str:
    """The verdict, once all planned draws and seeds are there; before, how many are."""
    draws = PLANS[dataset].draws
    if gain.draws < draws or gain.seeds < len(SEEDS):
        return f"not yet: {gain.draws} of {draws} draws, {gain.seeds} of {len(SEEDS)} seeds"
    return verdict(gain.mean, p)


def scratch_table(found: Found) -> list[list[str]]:
    """One label: each method at each number of steps, against scratch with as many."""
    rows = [["steps", "method", "Dice", "minus scratch", "p (Holm)", "draws won", "in words"]]
    results = against_scratch(found)
    for steps in STEPS:
        for method in found.methods("finetuned"):
            cells = [str(steps), method, interval(found.mean(_one(method, steps)))]
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
            gains = [found.gain(_one(method, few), _one(SCRATCH, more)) for few, more in pairs]
            rows.append([method, *(interval(gain, "+") for gain in gains)])
    return rows


def frozen_table(found: Found) -> list[list[str]]:
    """Without fine-tuning, one label: frozen features, the untrained network, the trivial answer."""
    rows = [["method", "readout", "Dice", "minus the untrained network"]]
    untrained = (RANDOM, "frozen", LABELS, 0)
    for method, readout in ((MEAN_MASK, "one_shot"), *((one, "frozen") for one in found.methods("frozen"))):
        key = (method, readout, LABELS, 0)
        gain = ABSENT if key == untrained else interval(found.gain(key, untrained), "+")
        rows.append([method, readout, interval(found.mean(key)), gain])
    return rows


def labels_table(found: Found) -> list[list[str]]:
    """Dice over numbers of labels, fine-tuned with `MORE_STEPS` steps, frozen, and the trivial answer."""
    counts = (LABELS, *PLANS[found.dataset].other_labels)
    return [
        ["method", "readout", *(f"{count} label{'s' * (count > 1)}" for count in counts)],
        *(
            [method, readout, *(interval(found.mean(_labels_key(method, readout, count))) for count in counts)]
            for readout in ("finetuned", "frozen", "one_shot")
            for method in found.methods(readout)
        ),
    ]


def steps_table(found: Found) -> list[list[str]]:
    """Dice over steps of fine-tuning, one label."""
    counts = all_steps(found)
    return [
        ["method", *(f"{count} steps" for count in counts)],
        *([method, *(interval(found.mean(_one(method, n))) for n in counts)] for method in found.methods("finetuned")),
    ]


def curves_over_steps(found: Found) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean Dice of each method over log2 of the steps, one label."""
    curves = _curves({m: {n: found.mean(_one(m, n)) for n in all_steps(found)} for m in found.methods("finetuned")})
    return {name: (np.log2(steps), dice) for name, (steps, dice) in curves.items()}


def curves_over_labels(found: Found) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean Dice of each method over the number of labels."""
    return _curves(
        {
            f"{method}, {readout}": {
                n: found.mean(_labels_key(method, readout, n)) for n in (LABELS, *PLANS[found.dataset].other_labels)
            }
            for readout in ("finetuned", "frozen", "one_shot")
            for method in found.methods(readout)
        }
    )


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


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its heading."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _one(method: str, steps: int) -> Key:
    return (method, "finetuned", LABELS, steps)


def _labels_key(method: str, readout: str, labels: int) -> Key:
    return (method, readout, labels, MORE_STEPS if readout == "finetuned" else 0)


def _curves(means: dict[str, dict[int, Difference | None]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    there = {name: {n: one.mean for n, one in own.items() if one is not None} for name, own in means.items()}
    return {name: _arrays(own.items()) for name, own in there.items() if own}


def _arrays(points: Iterable[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    x, y = zip(*points, strict=True)
    return np.array(x, dtype=float), np.array(y)
