"""Accuracy, balanced accuracy and AUC of soft scores, with intervals and paired tests of a bootstrap over patients."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

logger = logging.getLogger(__name__)

MEASURES = ("accuracy", "balanced_accuracy", "auc")
Figures = dict[str, dict[str, float]]


class Judge:
    """Measures of predicted probabilities; a weight a record says how often it counts.

    Args:
        truth: class of each record, int (N,).
        probabilities: (N, C), higher where likelier; the greatest is the answer, ties go to the lowest class.
    """

    def __init__(self, truth: np.ndarray, probabilities: np.ndarray) -> None:
        self.truth, self.hits = truth, (probabilities.argmax(1) == truth).astype(np.float64)
        self.classes = probabilities.shape[1]
        judged = (1,) if self.classes == 2 else range(self.classes)  # of two that exclude each other one says all
        self._sorted = [_Sorted(truth == index, probabilities[:, index]) for index in judged]

    def __call__(self, weights: np.ndarray | None = None) -> dict[str, float]:
        """`accuracy`; `balanced_accuracy`, the mean over the classes that are there; `auc`, of soft scores: of two
        classes that of the second, of more the mean of each against the rest. NaN where there is no such number."""
        weights = np.ones(len(self.truth)) if weights is None else weights.astype(np.float64)
        total = np.bincount(self.truth, weights, self.classes)
        right = np.bincount(self.truth, weights * self.hits, self.classes)
        present = total > 0
        aucs = np.array([one.auc(weights) for one in self._sorted])
        return {
            "accuracy": float(right.sum() / total.sum()),
            "balanced_accuracy": float((right[present] / total[present]).mean()),
            "auc": float(np.nanmean(aucs)) if np.isfinite(aucs).any() else float("nan"),
        }


class _Sorted:
    """Scores in their order, once for all draws."""

    def __init__(self, positive: np.ndarray, scores: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.positive, ranked = positive[self.order], scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # of equal scores, which count half

    def auc(self, weights: np.ndarray) -> float:
        ordered = weights[self.order]
        ones = np.add.reduceat(np.where(self.positive, ordered, 0), self.starts)
        zeros = np.add.reduceat(np.where(self.positive, 0, ordered), self.starts)
        pairs = ones.sum() * zeros.sum()
        return float((ones * (zeros.cumsum() - zeros / 2)).sum() / pairs) if pairs else float("nan")


def patient_draws(patients: np.ndarray, draws: int, seed: int):
    """Weights (N,) of each draw of the bootstrap: patients with replacement, all records of each."""
    _, owners = np.unique(patients, return_inverse=True)
    count, generator = int(owners.max()) + 1, np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(generator.integers(count, size=count), minlength=count)[owners]


def intervals(
    judge: Callable[[np.ndarray | None], Mapping[str, float]], patients: np.ndarray, *, draws: int = 1000, seed: int = 0
) -> Figures:
    """Each measure with its 95 % percentile interval, patients drawn with replacement.

    Args:
        judge: from weights (N,), None for all alike, to measures.
        patients: whose each record is, (N,).
        draws: of the bootstrap; those where a measure is NaN are left out of its interval.
        seed: of the draws.

    Returns:
        measure -> `value`, `low`, `high`; the ends are NaN for fewer than two patients.

    References:
        Field, Welsh: Bootstrapping clustered data, J. R. Stat. Soc. B 69 (2007).
    """
    values = judge(None)
    if len(np.unique(patients)) < 2:
        return {name: {"value": value, "low": float("nan"), "high": float("nan")} for name, value in values.items()}
    drawn = [judge(weights) for weights in patient_draws(patients, draws, seed)]
    return {name: {"value": value, **_ends([one[name] for one in drawn])} for name, value in values.items()}


@dataclass(frozen=True, eq=False)
class Drawn:
    """Measures of one encoder, of all records and of each draw of the bootstrap over patients.

    Args:
        values: measure -> of all records.
        draws: measure -> of each draw, (draws,).
    """

    values: Mapping[str, float]
    draws: Mapping[str, np.ndarray]

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
        values = judge(None)
        found = [judge(weights) for weights in patient_draws(patients, draws, seed)]
        return cls(values, {name: np.array([one[name] for one in found]) for name in values})


def paired_difference(one: Drawn, other: Drawn) -> Figures:
    """How much the first is better than the second on the same records, each draw of patients judged by both.

    Args:
        one: of an encoder.
        other: of another, on the same records by the same draws.

    Returns:
        measure -> `value` (the difference), `low`, `high`, and `p`: twice the share of draws on the other side of 0
        (the lesser of both), at least 2 / (draws + 1): two-sided.
    """
    found = {}
    for name in one.values:
        differences = one.draws[name] - other.draws[name]
        differences = differences[np.isfinite(differences)]
        beyond = min((differences <= 0).sum(), (differences >= 0).sum())
        p = min(1.0, 2 * (beyond + 1) / (len(differences) + 1))
        found[name] = {"value": one.values[name] - other.values[name], **_ends(differences), "p": float(p)}
    return found


def _ends(values) -> dict[str, float]:
    finite = np.asarray(values)[np.isfinite(values)]
    low, high = np.percentile(finite, [2.5, 97.5]) if len(finite) else (np.nan, np.nan)
    return {"low": float(low), "high": float(high)}
