"""What pre-training saves: as much with a quarter of the steps, or with half the labels, as scratch has with all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.evidence import tables
from benchmarks.evidence.found import Found
from benchmarks.evidence.in_short import best_on_validation
from benchmarks.evidence.probing import SCRATCH, SCRATCH_WAYS
from benchmarks.evidence.protocol import LABELS, MORE_STEPS, PLANS, STEPS
from benchmarks.evidence.rates import Choice
from medgenesis.statistics.paired import Difference

MARGIN = 0.02  # Dice that fewer labels may lose and still count as much
FEW, MORE = STEPS
STEPS_SAID = (
    f"Steps saved: the pre-trained way that is best on validation at {FEW} steps, against **every** way of scratch "
    f"with {MORE}, one label; shown where all intervals are above 0 (not corrected; other draws: those asked again):"
)
LABELS_SAID = (
    f"Labels saved: the pretext that is best on validation, fine-tuned with {MORE_STEPS} steps from so many labels, "
    f"against plain scratch with twice as many or more; shown where the interval is above -{MARGIN} (not corrected):"
)


@dataclass(frozen=True)
class Saved:
    """One comparison of less against more.

    Args:
        dataset, method: of the pre-trained network.
        what: that is compared, in words.
        gains: over what, in words -> difference.
        shown: whether less was enough.
    """

    dataset: str
    method: str
    what: str
    gains: dict[str, Difference]
    shown: bool

    def line(self) -> str:
        """It as a line of a list."""
        over = ", ".join(f"{tables.interval(gain, '+')} over {name}" for name, gain in self.gains.items())
        said = "**saved**" if self.shown else "**not shown**"
        return f"- `{self.dataset}`, `{self.method}`, {self.what}: {said}: {over}"


def saved_steps(every: Iterable[Found], choices: Sequence[Choice]) -> list[Saved]:
    """Few steps against more, of each set and of its draws that were asked again, once all ways of scratch have run."""
    found = []
    for one in every:
        method, plan = best_on_validation(one, choices, LABELS, FEW), PLANS[one.dataset]
        if method is not None:
            found += _few_steps(one, method, plan.draws, "")
        for again in plan.again if one.again is not None else ():
            found += _few_steps(one.again, again, plan.again_draws, "other draws, ")
    return found


def saved_labels(every: Iterable[Found], choices: Sequence[Choice]) -> list[Saved]:
    """Of each set and number of labels, against scratch with the next number that is twice as large or more."""
    found = []
    for one in every:
        plan = PLANS[one.dataset]
        counts = (LABELS, *plan.other_labels)
        for few in counts:
            more = next((count for count in counts if count >= 2 * few), None)
            method = best_on_validation(one, choices, few, MORE_STEPS)
            if more is None or method is None:
                continue
            gain = one.gain(tables.labels_key(method, "finetuned", few), tables.labels_key(SCRATCH, "finetuned", more))
            if gain is not None and gain.draws >= plan.other_draws:
                what, shown = f"{few} label{'s' * (few > 1)} against {more}", gain.low > -MARGIN
                found.append(Saved(one.dataset, method, what, {"scratch": gain}, shown))
    return found


def in_a_sentence(steps: Sequence[Saved], labels: Sequence[Saved]) -> str:
    """On which sets steps and labels are saved, wholly and in part, and of how many."""
    parts = [
        f"{_sets(steps)} for steps ({FEW} against {MORE}, over every way of scratch)" if steps else "",
        f"{_sets(labels)} for labels (half as many or fewer, {MORE_STEPS} steps)" if labels else "",
    ]
    return f"What pre-training saves is shown (not corrected) {'; '.join(filter(None, parts))}."


def _sets(found: Sequence[Saved]) -> str:
    """On how many sets, and which; in part: by some of the comparisons of a set."""
    shown: dict[str, list[bool]] = {}
    for one in found:
        shown.setdefault(one.dataset, []).append(one.shown)
    whole = [name for name, own in shown.items() if all(own)]
    part = [name for name, own in shown.items() if any(own) and not all(own)]
    said = f"on {len(whole)} of {len(shown)} set{'s' * (len(shown) > 1)}" + f" ({', '.join(whole)})" * bool(whole)
    return said + f" and in part on {len(part)} ({', '.join(part)})" * bool(part)


def _few_steps(found: Found, method: str, draws: int, which: str) -> list[Saved]:
    gains = {
        name: found.gain(tables.one_label(method, FEW), tables.one_label(way, MORE))
        for way, name in SCRATCH_WAYS.items()
    }
    there = {name: gain for name, gain in gains.items() if gain is not None and gain.draws >= draws}
    if len(there) < len(gains):
        return []
    shown = all(gain.low > 0 for gain in there.values())
    return [Saved(found.dataset, method, f"{which}{FEW} steps against {MORE}", there, shown)]
