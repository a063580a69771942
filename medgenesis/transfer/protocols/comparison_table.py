"""What a comparison has found: rows with intervals over draws and patients, and sentences that say it in words."""

import itertools
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medgenesis.report.text import interval_text
from medgenesis.statistics.paired import Difference, difference, holm, verdict

HEADING = ("labels", "steps", "start", "Dice", "difference", "p (Holm)", "draws won", "in words")
LEAST = 5  # sets of labelled patients, test patients: of fewer no verdict; a gain in three is often gone in the next
MORE_TEST_PATIENTS = (
    "Give a list with five or more test patients (`medgenesis datalist --splits 0.6 0.1 0.3`, for example), or ask "
    "`medgenesis crossval` of each start."
)
_ABSENT = "–"
_SETS, _TESTED = "sets of labelled patients", "test patients"

Setting = tuple[int, int]  # labelled patients, steps
Rows = list[list[str]]


@dataclass(frozen=True)
class Finding:
    """One start against the last one, with as many labels and steps.

    Args:
        start: its name.
        setting: labelled patients and steps.
        gain: its Dice minus that of the last start, paired by set of labelled patients (its `draws`) and test patient.
        p: corrected over all of a comparison (Holm).
    """

    start: str
    setting: Setting
    gain: Difference
    p: float

    @property
    def too_few(self) -> list[str]:
        """What there are too few of for a verdict, "sets of labelled patients", "test patients", both or neither."""
        numbers = {_SETS: self.gain.draws, _TESTED: self.gain.patients}
        return [what for what, number in numbers.items() if number < LEAST]

    @property
    def said(self) -> str:
        """ "helps", "harms", "no difference shown", or why there is no verdict."""
        if not self.too_few:
            return verdict(self.gain.mean, self.p)
        numbers = {_SETS: labelled_sets(self.gain.draws), _TESTED: tested_patients(self.gain.patients)}
        return f"no verdict: {' and '.join(numbers[what] for what in self.too_few)}, five are needed"


@dataclass(frozen=True)
class Saved:
    """Up to which larger number of labels or steps the last start is not above.

    Args:
        of: the finding that helps.
        other: the number; None: the next one tried is above.
        open: it is the largest that was tried, so that more may be saved.
    """

    of: Finding
    other: int | None
    open: bool


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


def by_labelled_set(values: np.ndarray, sets: Sequence[Hashable]) -> np.ndarray:
    """Dice (draws, patients) as (sets, patients): draws of the same labelled patients count once, by their mean.

    They are copies of one draw but for the seed, so an interval over them would say nothing of other patients.

    Args:
        values: Dice of each draw and test patient.
        sets: of each draw, who is labelled.
    """
    places: dict[Hashable, list[int]] = {}
    for place, one in enumerate(sets):
        places.setdefault(one, []).append(place)
    return np.stack([values[own].mean(axis=0) for own in places.values()])


def findings(dice: Mapping[tuple[int, int, str], np.ndarray], starts: Sequence[str]) -> list[Finding]:
    """Each start but the last against the last.

    Args:
        dice: of (labelled patients, steps, start): (sets of labelled patients, test patients).
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


def table(dice: Mapping[tuple[int, int, str], np.ndarray], found: Sequence[Finding], starts: Sequence[str]) -> Rows:
    """The heading, and a row for each number of labels, of steps, and start."""
    known = {(one.setting, one.start): one for one in found}
    rows = [list(HEADING)]
    for count, steps in dict.fromkeys(key[:2] for key in dice):
        for start in starts:
            cells = [str(count), str(steps), start, interval(difference(dice[count, steps, start]))]
            one = known.get(((count, steps), start))
            if one is None:
                rows.append(cells + [_ABSENT] * 4)
            else:
                p = _ABSENT if one.too_few else f"{one.p:.4f}"
                rows.append(cells + [interval(one.gain, "+"), p, f"{one.gain.won}/{one.gain.draws}", one.said])
    return rows


def sentences(
    dice: Mapping[tuple[int, int, str], np.ndarray],
    found: Sequence[Finding],
    starts: Sequence[str],
    trivial: Mapping[int, Difference],
    known: int,
) -> list[str]:
    """What was found: the whole in one sentence, then one for each start and number of labels and steps.

    Args:
        dice: as of `findings`.
        found: its findings.
        starts: in the order of the table.
        trivial: of each number of labels the Dice of the answer that looks at no image.
        known: how many labelled patients there are to draw from.
    """
    lines = [_whole(dice, found, starts[-1])]
    for one in found:
        count, steps = one.setting
        line = f"{one.start}, {labelled_patients(count)}, {_many(steps, 'step')}: {one.said} "
        line += f"({interval(one.gain, '+')} Dice against {starts[-1]})"
        if one.said == "helps":
            for what, unit in enumerate(("labelled patients", "steps")):
                if (saved := _saved(dice, one, starts[-1], what)) and saved.other:
                    much = "at least as much" if saved.open else "as much"
                    line += f"; in the mean {much} as {starts[-1]} with {saved.other} {unit}"
        place = trivial[count].mean if count in trivial else np.nan
        if dice[count, steps, one.start].mean() < place:
            line += f"; below the answer that looks at no image ({place:.3f})"
        line += f". {remedy(count, known)}" if _SETS in one.too_few else "."
        lines.append(line)
    return lines


def remedy(count: int, known: int) -> str:
    """What gives five sets of so many labelled patients, of so many that there are."""
    if math.comb(known, count) >= LEAST:
        return "More draws give more sets (--seeds)."
    half = known // 2
    return "Give more labelled patients" + (f", or --labels {half}." if math.comb(known, half) >= LEAST else ".")


def _whole(dice: Mapping[tuple[int, int, str], np.ndarray], found: Sequence[Finding], baseline: str) -> str:
    """In how many of the settings each verdict was found, and the most that is saved where it helps."""
    said = Counter(
        f"no verdict (fewer than five {' and '.join(one.too_few)})" if one.too_few else one.said for one in found
    )
    parts = [f"{words} in {number} of {len(found)}" for words, number in said.most_common()]
    whole = f"Against {baseline}, of all numbers of labels and steps: {', '.join(parts)}."
    if any(_TESTED in one.too_few for one in found):
        whole += f" {MORE_TEST_PATIENTS}"
    if not said["helps"]:
        return f"{whole} No labels or steps are shown to be saved."
    for what, unit in enumerate(("Labels", "Steps")):
        tried = [saved for one in found if one.said == "helps" and (saved := _saved(dice, one, baseline, what))]
        whole += f" {unit} saved, in the mean: {_said_saved(tried, what, baseline)}."
    return whole


def _said_saved(tried: Sequence[Saved], what: int, baseline: str) -> str:
    """The most labels (0) or steps (1) that are saved, and in which comparison; or why none are."""
    if not tried:
        return f"cannot be told (where it helps, no more {('labels', 'steps')[what]} were tried)"
    most = max(tried, key=lambda one: (one.other or 0) - one.of.setting[what])
    if most.other is None:  # of all
        return f"none of the numbers tried ({baseline} is above with the next larger one)"
    own, fixed = most.of.setting[what], most.of.setting[1 - what]
    beside = _many(fixed, "step") if what == 0 else labelled_patients(fixed)
    told = f"{most.other - own} ({most.of.start}: {own} in place of {most.other}, {beside}"
    return f"at least {told}; more than {most.other} were not tried)" if most.open else f"{told})"


def interval(one: Difference, sign: str = "") -> str:
    """A mean with its interval, to three digits; without one where there is a single draw.

    Args:
        one: of Dice.
        sign: "+" of a difference, which is from -1 to 1; of Dice itself, from 0 to 1, "".
    """
    low, high = np.clip((one.low, one.high), -1.0 if sign else 0.0, 1.0)  # NaN stays
    return interval_text(one.mean, low, high, f"{sign}.3f")


def _saved(dice: Mapping[tuple[int, int, str], np.ndarray], one: Finding, baseline: str, what: int) -> Saved | None:
    """What one finding saves of labels (0) or steps (1), in the mean; None where no larger number was tried."""
    reached = dice[(*one.setting, one.start)].mean()
    settings = sorted({key[:2] for key in dice})
    larger = [
        other for other in settings if other[1 - what] == one.setting[1 - what] and other[what] > one.setting[what]
    ]
    if not larger:
        return None
    beaten = list(itertools.takewhile(lambda other: dice[(*other, baseline)].mean() <= reached, larger))
    return Saved(one, beaten[-1][what] if beaten else None, beaten == larger)


def labelled_patients(count: int) -> str:
    """So many labelled patients, in words."""
    return _many(count, "labelled patient")


def tested_patients(number: int) -> str:
    """So many test patients, in words."""
    return _many(number, "test patient")


def labelled_sets(number: int) -> str:
    """So many sets of labelled patients, in words."""
    return f"{_many(number, 'set')} of labelled patients"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
