"""Accuracy, balanced accuracy and AUC of soft scores, with intervals and paired tests over patients."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from medgenesis.statistics.auc import SortedScores, auc_interval, in_full_order
from medgenesis.statistics.patient_draws import patient_draws
from medgenesis.statistics.student import LEVEL, student

MEASURES = ("accuracy", "balanced_accuracy", "auc")
_OF_CLASSES = ("balanced_accuracy", "auc")  # the rarest class counts in them as much as any other
Figures = dict[str, dict[str, float]]


class Judge:
    """Measures of predicted probabilities; a weight a record says how often it counts.

    Args:
        truth: class of each record, int (N,).
        probabilities: (N, C), of classes that exclude each other; the greatest is the answer, ties go to the lowest
            class. AUC ranks them also where they round to 1 (`in_full_order`).
        margins: they are any scores instead, higher where likelier, and are ranked as they are.
    """

    def __init__(self, truth: np.ndarray, probabilities: np.ndarray, *, margins: bool = False) -> None:
        self.truth, self.hits = truth, (probabilities.argmax(1) == truth).astype(np.float64)
        self.classes = probabilities.shape[1]
        self.present = np.unique(truth)
        judged = (1,) if self.classes == 2 else self.present  # of two that exclude each other one says all
        ranked = probabilities if margins else in_full_order(probabilities)
        self.each = [(truth == index, ranked[:, index]) for index in judged]
        self._sorted = [SortedScores(*one) for one in self.each]

    def __call__(self, weights: np.ndarray | None = None) -> dict[str, float]:
        """`accuracy`; `balanced_accuracy`, the mean over the classes that the records have; `auc`, of soft scores: of
        two classes that of the second, of more the mean of each against the rest. NaN where there is no such number,
        also of weights that leave out all records of a class: the mean of the others is another quantity."""
        weights = np.ones(len(self.truth)) if weights is None else weights.astype(np.float64)
        total = np.bincount(self.truth, weights, self.classes)[self.present]
        right = np.bincount(self.truth, weights * self.hits, self.classes)[self.present]
        shares = np.divide(right, total, out=np.full(len(total), np.nan), where=total > 0)
        return {
            "accuracy": float(right.sum() / total.sum()),
            "balanced_accuracy": float(shares.mean()),
            "auc": float(np.mean([one.auc(weights) for one in self._sorted])),
        }

    def patients_by_class(self, patients: np.ndarray) -> dict[int, int]:
        """Of each class that the records have."""
        return {int(one): len(np.unique(patients[self.truth == one])) for one in self.present}

    def auc_ends(self, patients: np.ndarray) -> tuple[float, float]:
        """Of each `auc_interval`, the mean: as wide as if the AUCs of the classes erred together."""
        ends = [auc_interval(truth, scores, patients)[1:] for truth, scores in self.each]
        low, high = np.mean(ends, axis=0)
        return float(low), float(high)


def drawn_weights(patients: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Weights (N,) of each draw of the bootstrap: patients with replacement, all records of each."""
    _, owners = np.unique(patients, return_inverse=True)
    count = int(owners.max()) + 1
    for drawn in patient_draws(count, draws, seed):
        yield np.bincount(drawn, minlength=count)[owners]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Measures of one encoder, of all records and of each draw of the bootstrap over patients.

    Args:
        values: measure -> of all records.
        draws: measure -> of each draw, (draws,).
        patients: measure -> how many it is of: of one that weighs classes alike those of the rarest.
    """

    values: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    patients: Mapping[str, int]

    @classmethod
    def of(
        cls,
        judge: Callable[[np.ndarray | None], Mapping[str, float]],
        patients: np.ndarray,
        *,
        draws: int = 1000,
        seed: int = 0,
    ) -> "Drawn":
        """Judged once for all that it is compared with: the same seed and patients give the same draws."""
        values, every = judge(None), len(np.unique(patients))
        rarest = min(judge.patients_by_class(patients).values()) if isinstance(judge, Judge) else every
        counts = {name: rarest if name in _OF_CLASSES else every for name in values}
        found = [judge(weights) for weights in drawn_weights(patients, draws, seed)] if every > 1 else []
        return cls(values, {name: np.array([one[name] for one in found]) for name in values}, counts)


def intervals(
    judge: Callable[[np.ndarray | None], Mapping[str, float]], patients: np.ndarray, *, draws: int = 1000, seed: int = 0
) -> Figures:
    """Each measure, a share from 0 to 1, with its 95 % interval, for patients vary.

    Student's t with the standard error of a bootstrap over patients (`student`); of a `Judge` that of AUC is
    Newcombe's (`auc_interval`), and a balanced accuracy has as many patients as its rarest class. Where all patients
    were told right, or all wrong, nothing spreads: the other end is then that of Clopper and Pearson; where all have
    the same share between, there is none.

    Args:
        judge: from weights (N,), None for all alike, to measures.
        patients: whose each record is, (N,).
        draws: of the bootstrap; those where a measure is NaN are left out of its interval.
        seed: of the draws.

    Returns:
        measure -> `value`, `low`, `high`; the ends are NaN for fewer than two patients, and where there is none.

    References:
        Field, Welsh: Bootstrapping clustered data, J. R. Stat. Soc. B 69 (2007); Clopper, Pearson: The use of
        confidence or fiducial limits illustrated in the case of the binomial, Biometrika 26 (1934).
    """
    drawn, found = Drawn.of(judge, patients, draws=draws, seed=seed), {}
    for name, value in drawn.values.items():
        if name == "auc" and isinstance(judge, Judge):
            low, high = judge.auc_ends(patients)
        else:
            count = drawn.patients[name]
            low, high, _ = student(value, _finite(drawn.draws[name]), count)
            if count > 1 and value in (0, 1):
                seldom = (LEVEL / 2) ** (1 / count)
                low, high = (seldom, 1) if value else (0, 1 - seldom)
        found[name] = {"value": value, "low": float(np.maximum(low, 0)), "high": float(np.minimum(high, 1))}
    return found


def paired_difference(one: Drawn, other: Drawn) -> Figures:
    """How much the first is better than the second on the same records, each draw of patients judged by both.

    Args:
        one: of an encoder.
        other: of another, on the same records by the same draws.

    Returns:
        measure -> `value` (the difference), `low`, `high`, and `p`, two-sided: Student's t with the standard error of
        the draws, and that of the sign test where all patients differ alike (`student`); of how many `patients`,
        of the rarest class where classes weigh alike: NaN for fewer than two.
    """
    found = {}
    for name, value in one.values.items():
        differences, patients = _finite(one.draws[name] - other.draws[name]), one.patients[name]
        difference = value - other.values[name]
        low, high, p = student(difference, differences, patients)
        found[name] = {"value": difference, "low": low, "high": high, "p": p, "patients": patients}
    return found


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]
