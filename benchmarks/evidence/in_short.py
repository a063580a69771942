"""The first table of the page: of each set what was best on validation, and what that is worth on the test patients."""

from collections.abc import Iterable, Sequence

from benchmarks.evidence import level_tables, tables
from benchmarks.evidence.found import Found
from benchmarks.evidence.pretexts import PRETEXTS
from benchmarks.evidence.probing import ON_ALL_LEVELS, SCRATCH, SCRATCH_WAYS
from benchmarks.evidence.protocol import LABELS, MEAN_TEACHER, PLANS, STEPS, tuned_at
from benchmarks.evidence.rates import Choice

PRETEXT_WAYS = (*PRETEXTS, *(way for way, begun in ON_ALL_LEVELS.items() if begun in PRETEXTS))
COLUMNS = ("set", "steps", "ours, best on validation", "Dice", "scratch, best on validation", "Dice of it")
AGAIN_SAID = (
    "Asked again, with other draws of the labelled patients, what the first ones suggested (one method a set, written "
    "down before; over every way of scratch, corrected over both numbers of steps):"
)
GAINS = ("ours minus plain scratch", "ours minus that scratch")


def short_table(every: Iterable[Found], choices: Sequence[Choice]) -> list[list[str]]:
    """One label: the pre-trained way and the way of scratch with the best Dice on validation, compared on test.

    Only arms that have all their draws count, so that a line can change as others join.
    """
    rows = [[*COLUMNS, *GAINS]]
    for found in every:
        for steps in STEPS:
            ours = best_on_validation(found, choices, LABELS, steps)
            scratch = best_on_validation(found, choices, LABELS, steps, pretrained=False)
            if ours is None or scratch is None:
                continue
            keys = [tables.one_label(method, steps) for method in (ours, scratch, SCRATCH)]
            planned = PLANS[found.dataset].draws
            means = found.means(keys, planned)
            gains = [tables.so_far(found.gain(keys[0], other), planned) for other in (keys[2], keys[1])]
            dice = [tables.interval(means[key]) for key in keys[:2]]
            rows.append([found.dataset, str(steps), ours, dice[0], scratch, dice[1], *gains])
    return rows


def most_often(short: Sequence[Sequence[str]], every: Iterable[Found]) -> str:
    """The pretext whose fine-tuning is best on validation on most sets, at all numbers of steps, in a sentence.

    Sets on which one pretext alone has run are left out.

    Args:
        short: of `short_table`, with its columns' names.
        every: what it was made of.
    """
    ran = {found.dataset: {_pretext(method) for method in PRETEXT_WAYS if _complete(found, method)} for found in every}
    best = {
        name: {_pretext(row[2]) for row in short[1:] if row[0] == name} for name, all in ran.items() if len(all) > 1
    }
    sets: dict[str, list[str]] = {}
    for name, ways in best.items():
        if len(ways) == 1:
            sets.setdefault(min(ways), []).append(name)
    steps = " and ".join(map(str, STEPS))
    if not sets:
        return f"No pretext was best on validation at {steps} steps, on any of {len(best)} sets."
    most = max(map(len, sets.values()))
    ways = " and ".join(f"`{way}` ({', '.join(names)})" for way, names in sorted(sets.items()) if len(names) == most)
    return (
        f"Of the pretexts that have run on a set, where there are two or more, best on validation, at {steps} steps, "
        f"on {most} of {len(best)} sets: {ways}."
    )


def asked_again(every: Iterable[Found]) -> list[str]:
    """Of each set that was asked again, with draws of its own: the verdict over all ways of scratch, in a line."""
    lines = []
    for found in every:
        for (method, steps), (gains, p) in level_tables.over_scratches_again(found).items():
            said = level_tables.in_words(gains, p, PLANS[found.dataset].again_draws)
            over = ", ".join(
                f"{tables.interval(gains.get(way), '+')} over {name}" for way, name in SCRATCH_WAYS.items()
            )
            lines.append(f"- `{found.dataset}`, `{method}`, {steps} steps: **{said}**: {over}")
    return lines


def _pretext(method: str) -> str:
    return ON_ALL_LEVELS.get(method, method)


def _complete(found: Found, method: str, steps: Sequence[int] = STEPS) -> bool:
    """Whether all draws of one label are there."""
    draws = PLANS[found.dataset].draws
    return all(len(found.scores.get(tables.one_label(method, one), ())) >= draws for one in steps)


def best_on_validation(
    found: Found, choices: Sequence[Choice], labels: int, steps: int, *, pretrained: bool = True
) -> str | None:
    """The fine-tuned arm with all its draws whose chosen value was the best on validation; None where there is none.

    Args:
        found: the test rows, which say what is complete and nothing else.
        choices: what was tried on validation, of all sets.
        labels, steps: of the arms. The values are those that cells of so many take (`tuned_at`).
        pretrained: of the pretexts; otherwise of the ways of scratch.
    """
    tuned, planned = tuned_at(labels, steps), PLANS[found.dataset]
    draws = planned.draws if labels == LABELS and steps in STEPS else planned.other_draws
    known = {
        one.method: max(one.dice.values())
        for one in choices
        if (one.dataset, one.labels, one.steps) == (found.dataset, *tuned)
    }
    there = {
        method: dice
        for method, dice in known.items()
        if (method not in SCRATCH_WAYS) == pretrained
        and method != MEAN_TEACHER
        and len(found.scores.get((method, "finetuned", labels, steps), ())) >= draws
    }
    return max(there, key=lambda method: there[method]) if there else None
