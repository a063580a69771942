"""What validation chose as learning rates over all sets, and what follows for the bundles' default."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from monai.bundle import ConfigParser

from benchmarks.evidence.probing import LEVELS, ON_ALL_LEVELS, PROBED
from benchmarks.evidence.protocol import PLANS, RATES, SCRATCH
from medgenesis import bundles
from medgenesis.storage import read_table

SETS = 3  # of which a default is chosen, at least


@dataclass(frozen=True)
class Choice:
    """The candidates of one arm at one number of labels and steps.

    Args:
        dataset, method, labels, steps: of the arm.
        dice: rate -> mean Dice of the validation patients.
        chosen: the rate that the programme went on with.
    """

    dataset: str
    method: str
    labels: int
    steps: int
    dice: dict[float, float]
    chosen: float

    @property
    def lost(self) -> dict[float, float]:
        """How far each rate is below the best, Dice."""
        return {rate: max(self.dice.values()) - dice for rate, dice in self.dice.items()}


def read_choices(folder: Path) -> list[Choice]:
    """The choices of learning rates in `choices/` of the rows, sets in the order of the programme."""
    order, found = list(PLANS), []
    for path in sorted(folder.glob("*-finetuned-*.csv")):
        rows = read_table(path)
        dice = {float(row["value"]): float(row["dice"]) for row in rows}
        (own,) = (row for row in rows if row["chosen"] == "True")
        arm = (own["dataset"], own["method"], int(own["labels"]), int(own["steps"]))
        found.append(Choice(*arm, dice, chosen=float(own["value"])))
    return sorted(found, key=lambda one: (order.index(one.dataset), one.labels, one.steps, one.method != SCRATCH))


def rates_table(choices: Sequence[Choice]) -> list[list[str]]:
    """Dice on validation of each set, method, number of labels and steps; the chosen one in bold."""
    rows = [["set", "method", "labels", "steps", *(f"rate {rate:g}" for rate in RATES)]]
    for one in choices:
        cells = [f"{one.dice[rate]:.3f}" if rate in one.dice else "–" for rate in RATES]
        cells = [f"**{cell}**" if rate == one.chosen else cell for rate, cell in zip(RATES, cells, strict=True)]
        rows.append([one.dataset, one.method, str(one.labels), str(one.steps), *cells])
    return rows


def lost_table(choices: Sequence[Choice]) -> list[list[str]]:
    """How much Dice one rate for everything loses, in the mean over sets (each the mean of its lines) and at most."""
    rows = [["start", "rate", "chosen", "Dice lost in the mean", "Dice lost at most"]]
    for start, some in _by_start(choices).items():
        for rate, (mean, most) in _losses(some).items():
            chosen = sum(one.chosen == rate for one in some)
            rows.append([start, f"{rate:g}", f"{chosen} of {len(some)}", f"{mean:.3f}", f"{most:.3f}"])
    return rows


def what_follows(choices: Sequence[Choice], default: float) -> list[str]:
    """Sentences: which rate loses least, and whether the default of the bundles is it.

    Args:
        choices: of all sets.
        default: learning rate of `finetune.yaml`.
    """
    said = []
    for start, some in _by_start(choices).items():
        sets = list(dict.fromkeys(one.dataset for one in some))
        if len(sets) < SETS:
            said.append(
                f"{start}: {len(sets)} of the {SETS} sets that a default is chosen on have choices "
                f"({', '.join(sets)}): nothing follows yet for the default of the bundles, {default:g}."
            )
            continue
        losses = _losses(some)
        best = min(losses, key=lambda rate: losses[rate][0])
        line = f"{start}: over {len(sets)} sets and {_lengths(some)} steps the rate {best:g} loses least "
        line += f"({losses[best][0]:.3f} Dice in the mean, {losses[best][1]:.3f} at most)"
        if best == default:
            line += "; it is the default of the bundles."
        elif default in losses:
            line += f"; the default of the bundles, {default:g}, loses {losses[default][0]:.3f} in the mean, "
            line += (
                f"{losses[default][1]:.3f} at most: for trainings as short as these give `--learning_rate {best:g}`."
            )
        else:
            line += f"; the default of the bundles, {default:g}, was not tried."
        said.append(line)
    return said


def default_rate() -> float:
    """The learning rate of the bundles' `finetune.yaml`, volumes."""
    config = bundles.path("models_genesis_ct") / "configs" / "finetune.yaml"
    return float(ConfigParser.load_config_file(str(config))["learning_rate"])


def _by_start(choices: Sequence[Choice]) -> dict[str, list[Choice]]:
    """By the weights that a training begins with, and by its head; `few_labels` is the bundles' overlay."""
    heads = {"": None, ", head on all levels at random": LEVELS, ", few_labels": PROBED}
    found: dict[str, list[Choice]] = {}
    for head, methods in heads.items():
        for start in ("pre-trained", SCRATCH):
            for one in choices:
                kind = next((kind for kind in (LEVELS, PROBED) if one.method in kind), None)
                weights = ON_ALL_LEVELS.get(one.method, one.method)
                if kind is methods and weights != "mean_teacher" and (weights == SCRATCH) == (start == SCRATCH):
                    found.setdefault(f"{start}{head}", []).append(one)
    return found


def _losses(choices: Sequence[Choice]) -> dict[float, tuple[float, float]]:
    """Rate -> Dice lost in the mean over sets, each the mean of its lines that tried it, and at most."""
    found = {}
    for rate in RATES:
        lost: dict[str, list[float]] = {}
        for one in choices:
            if rate in one.lost:
                lost.setdefault(one.dataset, []).append(one.lost[rate])
        if lost:
            found[rate] = (float(np.mean([np.mean(own) for own in lost.values()])), max(map(max, lost.values())))
    return found


def _lengths(choices: Sequence[Choice]) -> str:
    steps = sorted({one.steps for one in choices})
    return f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else str(steps[0])
