"""What a comparison has found: rows with intervals over draws and patients, and sentences that say it in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medgenesis.report.paired import Difference, difference, holm, verdict

HEADING = ("labelled patients", "steps", "start", "Dice", "difference", "p (Holm)", "draws won", "in words")
LEAST_DRAWS = 5  # of fewer no verdict is given: a gain in three draws has often been gone in the next
_ABSENT = "–"

Setting = tuple[int, int]  # labelled patients, steps


@dataclass(frozen=True)
class Finding:
    """One start against the last one, with as many labels and steps.

    Args:
        start: its name.
        setting: labelled patients and steps.
        gain: its Dice minus that of the last start, paired by draw and patient.
        p: corrected over all of a comparison (Holm).
    """

    start: str
    setting: Setting
    gain: Difference
    p: float

    @property
    def said(self) -> str:
        """ "helps", "harms", "no difference shown", or that the draws are too few."""
        if self.gain.draws < LEAST_DRAWS:
            return f"{self.gain.draws} draws are too few to tell"
        return verdict(self.gain.mean, self.p)


def by_patient(runs: Sequence[np.ndarray], patients: Sequence[object]) -> np.ndarray:
    """Mean Dice (draws, patients) of runs (records, classes) each; patients without any of the classes are left out.

    Args:
        runs: of each draw.
        patients: whose each record is.
    """
    stacked = np.stack(runs)
    owners = np.unique([str(one) for one in patients], return_inverse=True)[1]
    known = ~np.isnan(stacked)
    totals, counts = np.zeros((2, len(stacked), owners.max() + 1))
    for record, owner in enumerate(owners):
        totals[:, owner] += np.where(known, stacked, 0)[:, record].sum(axis=1)
        counts[:, owner] += known[:, record].sum(axis=1)
    counted = (counts > 0).all(axis=0)
    return totals[:, counted] / counts[:, counted]


def findings(dice: Mapping[tuple[int, int, str], np.ndarray], starts: Sequence[str]) -> list[Finding]:
    """Each start but the last against the last.

    Args:
        dice: of (labelled patients, steps, start): (draws, patients).
        starts: in the order of the table, that which others are compared with last.
    """
    *others, baseline = starts
    settings = list(dict.fromkeys(key[:2] for key in dice))
    gains = {
        (start, setting): difference(dice[(*setting, start)] - dice[(*setting, baseline)])
        for setting in settings
        for start in others
    }
    corrected = holm({key: 1.0 if np.isnan(gain.p) else gain.p for key, gain in gains.items()})
    return [Finding(*key, gain, corrected[key]) for key, gain in gains.items()]


def table(dice: Mapping[tuple[int, int, str], np.ndarray], starts: Sequence[str]) -> list[list[str]]:
    """The heading, and a row for each number of labels, of steps, and start; see `findings`."""
    found = {(one.setting, one.start): one for one in findings(dice, starts)}
    rows = [list(HEADING)]
    for count, steps in dict.fromkeys(key[:2] for key in dice):
        for start in starts:
            cells = [str(count), str(steps), start, interval(difference(dice[count, steps, start]))]
            one = found.get(((count, steps), start))
            if one is None:
                rows.append(cells + [_ABSENT] * 4)
            else:
                p = _ABSENT if one.gain.draws < LEAST_DRAWS else f"{one.p:.4f}"
                rows.append(cells + [interval(one.gain, "+"), p, f"{one.gain.won}/{one.gain.draws}", one.said])
    return rows


def sentences(dice: Mapping[tuple[int, int, str], np.ndarray], starts: Sequence[str]) -> list[str]:
    """What was found, a sentence for each start and number of labels and steps, and what it saves where it helps."""
    lines = []
    for one in findings(dice, starts):
        count, steps = one.setting
        line = f"{one.start}, {_many(count, 'labelled patient')}, {_many(steps, 'step')}: {one.said} "
        line += f"({interval(one.gain, '+')} Dice against {starts[-1]})"
        saved = _saved(dice, one, starts[-1]) if one.said == "helps" else []
        lines.append(line + "".join(f"; {words}" for words in saved) + ".")
    return lines


def interval(one: Difference, sign: str = "") -> str:
    """A mean with its interval, to three digits; without one where there is a single draw."""
    form = f"{sign}.3f"
    return f"{one.mean:{form}}" + ("" if np.isnan(one.low) else f" [{one.low:{form}}, {one.high:{form}}]")


def _saved(dice: Mapping[tuple[int, int, str], np.ndarray], one: Finding, baseline: str) -> list[str]:
    """What the last start needs for the same mean Dice, of the numbers that were tried."""
    count, steps = one.setting
    reached = dice[count, steps, one.start].mean()
    beaten = {key[:2] for key, values in dice.items() if key[2] == baseline and values.mean() <= reached}
    labels = max((other for other, same in beaten if same == steps and other > count), default=None)
    longer = max((other for same, other in beaten if same == count and other > steps), default=None)
    words = [f"as much as {baseline} with {labels} labelled patients"] if labels else []
    return words + ([f"as much as {baseline} with {longer} steps"] if longer else [])


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
