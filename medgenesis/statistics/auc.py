"""The area under the ROC curve, with an interval that knows that a patient's images are alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_QUANTILE = 1.959963985  # of the normal distribution, for 95 %
AUC_COLUMNS = ("class", "records", "with", "auc", "low", "high")


class SortedScores:
    """Scores in their order, for the AUC of any weights of the records; a bootstrap sorts them once.

    Args:
        positive: which records are of the class, bool (N,).
        scores: higher where this is likelier, (N,), none of them NaN; infinite ones are above and below all.
    """

    def __init__(self, positive: np.ndarray, scores: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.positive, ranked = positive[self.order], scores[self.order]
        self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # of equal scores, which count half

    def auc(self, weights: np.ndarray | None = None) -> float:
        """Of pairs (other, of the class) the share in the right order, ties half; NaN where there is no pair.

        Args:
            weights: how often each record counts, from 0, (N,); None: once.
        """
        ordered = np.ones(len(self.order)) if weights is None else weights[self.order]
        ones = np.add.reduceat(np.where(self.positive, ordered, 0), self.starts)
        zeros = np.add.reduceat(np.where(self.positive, 0, ordered), self.starts)
        pairs = ones.sum() * zeros.sum()
        return float((ones * (zeros.cumsum() - zeros / 2)).sum() / pairs) if pairs else float("nan")


def auc_interval(
    truth: Sequence[int] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    patients: Sequence[object] | None = None,
) -> tuple[float, float, float]:
    """AUC and its 95 % interval, Newcombe's score interval with patients in the place of records.

    It holds also for few patients and an AUC of 1, where a bootstrap (or DeLong's variance) sees no spread at all: of 5
    and 5 patients and a true AUC of 0.95 their intervals hold it in half of all cases. A class counts as many patients
    as Kish's effective number of them, fewer where some have most of the records; so the images of a patient are no
    more evidence than one; where they differ as those of several would, the interval is too wide, not too narrow.

    Args:
        truth: 0 or 1 of each record, (N,).
        scores: higher where 1 is likelier, (N,), none of them NaN.
        patients: whose each record is, (N,); None: each of another.

    Returns:
        AUC, lower and upper end; NaN where `truth` has one value alone, or (the ends) where there is one patient.

    Raises:
        ValueError: a score that is NaN, another truth than 0 and 1, or arguments of different lengths.

    References:
        Newcombe: Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2,
        Statistics in Medicine 25 (2006), method 5; Kish: Survey Sampling (1965).
    """
    truth, scores = np.asarray(truth), np.asarray(scores, dtype=np.float64)
    _check(truth, scores, patients)
    truth = truth.astype(bool)
    if truth.all() or not truth.any():
        return float("nan"), float("nan"), float("nan")
    auc = SortedScores(truth, scores).auc()  # scikit-learn's takes no infinity
    groups = (
        np.arange(len(truth)) if patients is None else np.unique([str(p) for p in patients], return_inverse=True)[1]
    )
    if groups.max() == 0:
        return auc, float("nan"), float("nan")
    numbers = _effective(groups[truth]), _effective(groups[~truth])
    return auc, _end(auc, 0.0, *numbers), _end(auc, 1.0, *numbers)


def in_columns(truth: Sequence[int] | np.ndarray | int, classes: int, *, multi_label: bool) -> np.ndarray:
    """The truth of a record as 0 or 1 for each class, (classes,).

    Args:
        truth: its class, or its findings (0 or 1 each).
        classes: how many there are.
        multi_label: the classes are findings, of which several may be present.

    Raises:
        ValueError: another class, value or number of findings; a class of -1 would count as the last one.
    """
    values = np.asarray(truth).reshape(-1)
    length, allowed = (classes, 2) if multi_label else (1, classes)
    if values.dtype.kind not in "biuf" or len(values) != length or not np.isin(values, np.arange(allowed)).all():
        rule = f"0 or 1 for each of {classes} findings" if multi_label else f"a class from 0 to {classes - 1}"
        raise ValueError(f"truth: must be {rule}; found {values.tolist()}. Correct it.")
    values = values.astype(int)
    return values if multi_label else np.eye(classes, dtype=int)[values[0]]


def auc_table(
    truth: np.ndarray, scores: np.ndarray, patients: Sequence[object], *, multi_label: bool
) -> list[dict[str, Any]]:
    """A row of `auc.csv` for each class; of two that exclude each other the second alone, for both have the same.

    Args:
        truth: 0 or 1 of each record and class, (N, C).
        scores: probabilities of each, (N, C).
        patients: whose each record is, (N,).
        multi_label: the classes are findings, of which several may be present.
    """
    scores = scores if multi_label else in_full_order(scores)
    classes, rows = scores.shape[1], []
    for index in range(1 if not multi_label and classes == 2 else 0, classes):
        own = truth[:, index]
        figures = auc_interval(own, scores[:, index], patients)
        numbers = (None if np.isnan(one) else one for one in figures)
        rows.append(dict(zip(AUC_COLUMNS, (index, len(own), int(own.sum()), *numbers), strict=True)))
    return rows


def in_full_order(probabilities: np.ndarray) -> np.ndarray:
    """Scores (N, C) in the order of the probabilities (N, C) of classes that exclude each other, also near 1.

    Floating point keeps the digits of small numbers, so that many answers are 1 alike; above one half the score is that
    of the other classes together: log 2p, and -log 2(1 - p). Equal answers stay equal: where 1 - p has the digits, the
    sum of the others, which rounds otherwise in another order, is not asked.
    """
    own = np.asarray(probabilities, dtype=np.float64)
    others = np.stack([np.delete(own, index, axis=1).sum(axis=1) for index in range(own.shape[1])], axis=1)
    rest = 1 - own  # exact above one half
    others = np.where(np.abs(others - rest) <= 1e-12 * rest, rest, others)
    with np.errstate(divide="ignore"):  # of 0: the least, and the greatest
        return np.where(own <= 0.5, np.log(2 * own), -np.log(2 * others))


def _effective(groups: np.ndarray) -> float:
    """Kish's number of groups: how many of equal size would tell as much."""
    sizes = np.bincount(groups).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _end(auc: float, bound: float, ones: float, zeros: float) -> float:
    """The value between `auc` and the bound at which it would be 1.96 standard errors away, by bisection."""
    near, far, more = auc, bound, (ones + zeros) / 2 - 1
    for _ in range(60):
        value = (near + far) / 2
        spread = 1 + more * (1 - value) / (2 - value) + more * value / (1 + value)
        error = np.sqrt(value * (1 - value) * spread / (ones * zeros))
        near, far = (near, value) if abs(auc - value) > _QUANTILE * error else (value, far)
    return float((near + far) / 2)


def _check(truth: np.ndarray, scores: np.ndarray, patients: Sequence[object] | None) -> None:
    shapes = [truth.shape, scores.shape, *([] if patients is None else [(len(patients),)])]
    if truth.ndim != 1 or len(set(shapes)) > 1:
        raise ValueError(
            f"truth, scores, patients: must have one value a record each; found {', '.join(map(str, shapes))}. Give as "
            "many."
        )
    other = truth[~np.isin(truth, (0, 1))]
    if len(other):
        raise ValueError(f"truth: must be 0 or 1; found {other[0]}. Judge each class by itself.")
    if np.isnan(scores).any():  # else sorted as the highest
        raise ValueError(
            f"scores: answers must be finite; found nan in record {int(np.isnan(scores).argmax()) + 1}. Check the "
            "weights and the image, or leave it out."
        )
