"""The area under the ROC curve, with an interval that knows that a patient's images are alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np

AUC_COLUMNS = ("class", "records", "with", "auc", "low", "high")


def auc_interval(
    truth: Sequence[int] | np.ndarray,
    scores: Sequence[float] | np.ndarray,
    patients: Sequence[object] | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """AUC and its 95 % percentile-bootstrap interval, patients drawn with replacement.

    Args:
        truth: 0 or 1 of each record, (N,).
        scores: higher where 1 is likelier, (N,), none of them NaN.
        patients: whose each record is, (N,); None: each of another.
        draws: of the bootstrap; those that lack 0 or 1 are left out.
        seed: of the draws.

    Returns:
        AUC, lower and upper end; NaN where `truth` has one value alone, or (the ends) where no draw has both.

    Raises:
        ValueError: a score that is NaN, another truth than 0 and 1, or arguments of different lengths.

    References:
        Field, Welsh: Bootstrapping clustered data, J. R. Stat. Soc. B 69 (2007).
    """
    truth, scores = np.asarray(truth), np.asarray(scores, dtype=np.float64)
    _check(truth, scores, patients)
    truth = truth.astype(bool)
    order = np.argsort(scores, kind="stable")
    truth, scores = truth[order], scores[order]
    if truth.all() or not truth.any():
        return float("nan"), float("nan"), float("nan")
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])  # of equal scores, which count half
    groups = (
        np.arange(len(truth)) if patients is None else np.unique([str(p) for p in patients], return_inverse=True)[1]
    )
    groups = groups[order]
    count = int(groups.max()) + 1
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        weights = np.bincount(generator.integers(count, size=count), minlength=count)[groups]
        found.append(_auc(truth, weights, starts))
    drawn = np.array(found)[np.isfinite(found)]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return _auc(truth, np.ones(len(truth)), starts), float(low), float(high)


def in_columns(truth: Sequence[int] | np.ndarray | int, classes: int, *, multi_label: bool) -> np.ndarray:
    """The truth of a record as 0 or 1 for each class, (classes,).

    Args:
        truth: its class, or its findings (0 or 1 each).
        classes: how many there are.
        multi_label: the classes are findings, of which several may be present.
    """
    values = np.asarray(truth, dtype=int).reshape(-1)
    return values if multi_label else np.eye(classes, dtype=int)[values[0]]


def auc_table(
    truth: np.ndarray, scores: np.ndarray, patients: Sequence[object], *, multi_label: bool, seed: int = 0
) -> list[dict[str, Any]]:
    """A row of `auc.csv` for each class; of two that exclude each other the second alone, for both have the same.

    Args:
        truth: 0 or 1 of each record and class, (N, C).
        scores: likewise, higher where 1 is likelier.
        patients: whose each record is, (N,).
        multi_label: the classes are findings, of which several may be present.
        seed: of the bootstrap.
    """
    classes, rows = scores.shape[1], []
    for index in range(1 if not multi_label and classes == 2 else 0, classes):
        own = truth[:, index]
        figures = auc_interval(own, scores[:, index], patients, seed=seed)
        numbers = (None if np.isnan(one) else one for one in figures)
        rows.append(dict(zip(AUC_COLUMNS, (index, len(own), int(own.sum()), *numbers), strict=True)))
    return rows


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


def _auc(truth: np.ndarray, weights: np.ndarray, starts: np.ndarray) -> float:
    """Of sorted records with weights: the share of pairs (0, 1) in the right order, ties half."""
    ones = np.add.reduceat(np.where(truth, weights, 0).astype(np.float64), starts)
    zeros = np.add.reduceat(np.where(truth, 0, weights).astype(np.float64), starts)
    pairs = ones.sum() * zeros.sum()
    return float((ones * (zeros.cumsum() - zeros / 2)).sum() / pairs) if pairs else float("nan")
