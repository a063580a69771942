"""What frozen features of a comparison's starts answer, beside the untrained network and the training from scratch."""

from collections.abc import Mapping, Sequence

import numpy as np

from medgenesis.statistics.paired import Difference, difference
from medgenesis.transfer.protocols.comparison_table import Rows, interval, labelled_patients

FROZEN = 0  # steps, of a run in which nothing of the network is learnt
UNTRAINED = "untrained network"
_ABSENT = "–"

Dice = Mapping[tuple[int, int, str], np.ndarray]


def frozen_table(dice: Dice, starts: Sequence[str]) -> Rows:
    """The heading, and a row for each number of labels and start; the heading alone where nothing was frozen.

    Args:
        dice: of (labelled patients, steps, start): (sets of labelled patients, test patients); steps 0: frozen.
        starts: in the order of the table, that without pre-training last.
    """
    longest, baseline = max(steps for _, steps, _ in dice), starts[-1]
    rows = [["labels", "start", "Dice, frozen", f"minus the {UNTRAINED}", f"minus {baseline}, {longest} steps"]]
    for count in dict.fromkeys(count for count, steps, _ in dice if steps == FROZEN):
        for start in starts:
            own = dice[count, FROZEN, start]
            gain = _ABSENT if start == baseline else interval(_gain(dice, count, start, FROZEN, baseline), "+")
            against = interval(_gain(dice, count, start, longest, baseline), "+")
            name = f"{UNTRAINED} ({baseline})" if start == baseline else start
            rows.append([str(count), name, interval(difference(own)), gain, against])
    return rows


def frozen_sentences(dice: Dice, starts: Sequence[str], trivial: Mapping[int, Difference]) -> list[str]:
    """What frozen features answer, a sentence for each start that is pre-trained and number of labels."""
    longest, baseline = max(steps for _, steps, _ in dice), starts[-1]
    lines = []
    for count in dict.fromkeys(count for count, steps, _ in dice if steps == FROZEN):
        for start in starts[:-1]:
            own = dice[count, FROZEN, start]
            line = f"{start}, frozen, {labelled_patients(count)}: {own.mean():.3f} Dice, "
            line += f"{interval(_gain(dice, count, start, FROZEN, baseline), '+')} against the {UNTRAINED}, "
            line += f"{interval(_gain(dice, count, start, longest, baseline), '+')} against {baseline} "
            line += f"fine-tuned with {longest} steps"
            place = trivial[count].mean if count in trivial else np.nan
            if own.mean() < place:
                line += f"; below the answer that looks at no image ({place:.3f})"
            lines.append(line + ".")
    return lines


def _gain(dice: Dice, count: int, start: str, steps: int, baseline: str) -> Difference:
    """Frozen features of a start minus the last start after so many steps, paired by draw and patient."""
    return difference(dice[count, FROZEN, start] - dice[count, steps, baseline])
