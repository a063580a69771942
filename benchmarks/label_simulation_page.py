"""The page of the documentation on `label_simulation.py`, made from its rows: nothing on it is typed but its end.

    python -m benchmarks.label_simulation_page OUT/rows.csv

The rows are kept in docs/label-simulation/rows.csv, the page is docs/label-simulation.md; without an argument it is
made again from the rows that are kept.
"""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.evidence.figures import write_chart
from benchmarks.label_simulation import CHOICES, PRETEXT_STEPS, SPACING, STEPS, TESTED, WIDTH
from medgenesis.report.text import interval_text
from medgenesis.statistics.intervals import mean_interval
from medgenesis.storage.atomic import write_text
from medgenesis.storage.tables import read_table

DOCS = Path(__file__).parents[1] / "docs"
FOLDER = DOCS / "label-simulation"
READOUTS = {
    "draft": ("draft of scratch", "draft of ours"),
    "fine-tuning": ("scratch", "ours"),
    "few_labels": ("few_labels of scratch", "few_labels of ours"),
}
KINDS = {"start": "ours against scratch"} | {one: f"`{one}` against random" for one in CHOICES[1:]}
LEAST_DRAWS = 20  # of a comparison that is called better or worse
LEAST_GAIN = 0.005  # of Dice, likewise

Values = dict[tuple[str, str, str, str], dict[str, float]]
"""(set, choice, labels, start) -> draw -> Dice."""


def values_of(rows: Iterable[dict[str, str]]) -> Values:
    found: Values = {}
    for row in rows:
        found.setdefault((row["set"], row["choice"], row["labels"], row["start"]), {})[row["draw"]] = float(row["dice"])
    return found


class Difference(NamedTuple):
    """Mean of the differences of common draws, and its 95 % interval of a bootstrap over draws."""

    mean: float
    low: float
    high: float
    draws: int

    def __str__(self) -> str:
        return f"{interval_text(self.mean, self.low, self.high, '+.3f')} ({self.draws})" if self.draws else "–"


def difference(one: dict[str, float], other: dict[str, float]) -> Difference:
    paired = [one[draw] - other[draw] for draw in sorted(one, key=int) if draw in other]
    return Difference(*mean_interval(paired), len(paired))


def section(values: Values, name: str, readout: str) -> tuple[list[str], list[tuple[str, Difference]]]:
    """A table and a figure of a set, and each comparison with what it is called."""
    scratch, ours = READOUTS[readout]
    shown = {key: own for key, own in values.items() if key[0] == name and key[3] in (scratch, ours)}
    counts = sorted({int(key[2]) for key in shown})
    lines, comparisons = [], []
    for count in counts:
        at = {(choice, start): own for (_, choice, k, start), own in shown.items() if int(k) == count}
        for choice in CHOICES:
            own = {start: at.get((choice, start), {}) for start in (scratch, ours)}
            if not any(own.values()):
                continue
            start = difference(own[ours], own[scratch])
            others = {start: difference(own[start], at.get(("random", start), {})) for start in (scratch, ours)}
            if choice == "random":
                comparisons.append(("start", start))
            else:
                comparisons.append((choice, others[ours]))
            means = [f"{np.mean(list(one.values())):.3f}" if one else "–" for one in own.values()]
            against = ["", ""] if choice == "random" else [str(others[scratch]), str(others[ours])]
            lines.append(f"| {' | '.join([str(count), choice, *means, str(start), *against])} |")
    if not lines:
        return [], []
    curves = {}
    for start, called in ((scratch, "scratch"), (ours, "ours")):
        for choice in CHOICES if start == ours else ("random",):
            means = [(k, shown.get((name, choice, str(k), start), {})) for k in counts]
            means = [(k, float(np.mean(list(own.values())))) for k, own in means if len(own) >= LEAST_DRAWS]
            if means:
                curves[f"{called}, {choice}"] = tuple(np.array(means, float).T)
    file = FOLDER / f"{name}-{readout}.svg"
    alt = f"{name}, {readout}: mean Dice against the number of labelled studies"
    figure = [f"![{alt}](label-simulation/{file.name})", ""] if curves else []
    if curves:
        write_chart(file, curves, "labelled studies", "mean Dice", alt)
    head = [
        f"### {name}: {readout}",
        "",
        *figure,
        "| labels | chosen | scratch | ours | ours − scratch | minus random, scratch | minus random, ours |",
        "|---|---|---|---|---|---|---|",
    ]
    return [*head, *lines, ""], [(kind, one) for kind, one in comparisons if one.draws >= LEAST_DRAWS]


def over_readouts(values: Values) -> tuple[list[str], list[str]]:
    """What `few_labels` is worth beside the other two with the pre-trained network, drawn at random: words, a table."""
    others = {readout: ours for readout, (_, ours) in READOUTS.items() if readout != "few_labels"}
    ours, words = READOUTS["few_labels"][1], []
    lines = [f"| set | labels | few_labels | {' | '.join(f'minus {one}' for one in others)} |", "|---|---|---|---|---|"]
    found: dict[str, list[tuple[str, Difference]]] = {readout: [] for readout in others}
    for name, choice, count, start in values:
        if choice == "random" and start == ours:
            own, cells = values[name, choice, count, start], []
            for readout, other in others.items():
                found[readout].append((readout, difference(own, values.get((name, choice, count, other), {}))))
                cells.append(str(found[readout][-1][1]))
            lines.append(f"| {' | '.join([name, count, f'{np.mean(list(own.values())):.3f}', *cells])} |")
    for readout, own in found.items():
        counted = [(kind, one) for kind, one in own if one.draws >= LEAST_DRAWS]
        words.append(f"- *few_labels* of ours against *{readout}* of ours: {in_words(counted, readout)}.")
    title = "### few_labels against the draft and the usual fine-tuning, all with the pre-trained network"
    return words, [title, "", *lines, ""] if len(lines) > 2 else []


def in_words(comparisons: list[tuple[str, Difference]], kind: str) -> str:
    found = [one for own, one in comparisons if own == kind]
    better = sum(one.low > 0 and one.mean >= LEAST_GAIN for one in found)
    worse = sum(one.high < 0 and one.mean <= -LEAST_GAIN for one in found)
    return (
        f"better in {better}, worse in {worse}, undecided in {len(found) - better - worse} of {len(found)} comparisons"
    )


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = FOLDER / "rows.csv"
    if len(sys.argv) > 1:
        shutil.copyfile(sys.argv[1], kept)
    values = values_of(read_table(kept))
    parts, every = [], []
    for readout in READOUTS:
        for name in SPACING:
            lines, comparisons = section(values, name, readout)
            parts += lines
            every += [(f"{readout} {kind}", one) for kind, one in comparisons]
    words = [
        f"- *{readout}*, {text}: {in_words(every, f'{readout} {kind}')}."
        for readout in READOUTS
        for kind, text in KINDS.items()
        if any(own == f"{readout} {kind}" for own, _ in every)
    ]
    more, table = over_readouts(values)
    write_text(DOCS / "label-simulation.md", "\n".join([*_intro(), *words, *more, "", *table, *parts, *_before()]))


def _intro() -> list[str]:
    """A sentence a line."""
    spacing = ", ".join(f"{name} {value:g} mm" for name, value in SPACING.items())
    return [
        "# What a label is worth, in simulation",
        "",
        "This page is made by `python -m benchmarks.label_simulation_page` from [its rows](label-simulation/rows.csv), "
        "which `benchmarks/label_simulation.py` has computed; nothing on it is typed but for the last section.",
        "",
        "A draw is a pool of studies; some are labelled, chosen at random or as the strategies of "
        "`medgenesis label-app` choose (`uncertain`: the first is the most typical one, then the draft from those that "
        "are labelled stands for the app's model).",
        f"*Ours* begins with a network pre-trained (Models Genesis, {PRETEXT_STEPS} steps) on the studies that are not "
        "tested, *scratch* with a random one.",
        "*Draft*: a linear classifier of voxels on the frozen network, as in the app.",
        f"*Fine-tuning*: {STEPS} steps of all weights, a training that has hardly begun, with a new head; "
        "*few_labels*: as many with a head that sees all levels and begins as such a classifier, a warm-up, and batch "
        "norm estimated again, as the app trains.",
        f"Mean Dice over {TESTED} test studies and classes, on the studies' own grids; differences are paired by draw, "
        "with 95 % intervals of a bootstrap over draws, and their number of draws in brackets; one of fewer than "
        f"{LEAST_DRAWS} draws is shown and not counted in the words below.",
        "",
        f"**Read it with care.** These are small settings for a small computer: grids of {spacing}, a network of width "
        f"{WIDTH}, few steps, one pre-training a set.",
        "They compare starts and choices under equal terms; they say nothing about the best Dice that can be reached.",
        "The test studies are the same in all draws, so that the intervals say how much the choice of labels matters, "
        "not how other patients would differ.",
        "",
    ]


def _before() -> list[str]:
    """Measured by hand, before the simulation was written."""
    return [
        "### The draft, on three computed chests",
        "",
        "On three computed chests (Dice of lungs and liver): one label 0.81 and 0.69, three labels 0.84 and 0.77; one "
        "label on a random network 0.41 and 0.54.",
        "A setting (classes count alike) was chosen on the same three, so that the figures flatter.",
        "",
    ]


if __name__ == "__main__":
    main()
