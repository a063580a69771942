"""Linear: how well a logistic regression on frozen features tells the class, its strength chosen on validation."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from medgenesis.data.splits import SECTIONS
from medgenesis.statistics.scores import MEASURES, Judge, intervals
from medgenesis.transfer.protocols.known_table import check_labels, check_vectors
from medgenesis.transfer.protocols.study_rows import split_rows
from medgenesis.transfer.scratch import changed_rows, mean_and_deviation

logger = logging.getLogger(__name__)

GRID = tuple(10 ** (exponent / 4 - 5) for exponent in range(45))
"""C of the study: 45 values from 1e-5 to 1e6."""


@dataclass(frozen=True)
class Linear:
    """Settings of the regression.

    Args:
        grid: values of C that are tried; a single one is taken without a search.
        metric: that chooses C, on validation: "auc", "accuracy" or "balanced_accuracy"; of equal ones the C of the
            least log-loss there, of these the smallest.
        standardise: features to mean 0 and deviation 1 of those trained on; the study did not.
        max_iter: steps of L-BFGS at most; where they do not suffice, the result says so.
        seed: of the validation that is drawn where there is none.
        compat: as the study: raw features, 100 steps, each C begun where the one before ended, from the largest;
            accuracy chooses (of some data sets the mean of the classes, see `ask`), of equal ones the largest C; a
            fifth of the training images, drawn by image, is the validation.
    """

    grid: Sequence[float] = GRID
    metric: str = "auc"
    standardise: bool = True
    max_iter: int = 1000
    seed: int = 0
    compat: bool = False

    @classmethod
    def as_published(cls, grid: Sequence[float] = GRID) -> "Linear":
        """With the study's settings."""
        return cls(grid, "accuracy", False, 100, 0, True)


@dataclass(frozen=True, eq=False)
class LinearResult:
    """What was found.

    Attributes:
        figures: measures on test, with intervals over patients.
        c: the value chosen.
        tried: rows `c`, `score` and `log_loss` on validation, `converged`.
        converged: whether the last fit, on training and validation, ended before `max_iter`.
        rows: of the test records, (T,).
        probabilities: of the test records, (T, classes).
    """

    figures: dict[str, dict[str, float]]
    c: float
    tried: list[dict]
    converged: bool
    rows: np.ndarray
    probabilities: np.ndarray


def linear(
    vectors: np.ndarray, labels: np.ndarray, sections: np.ndarray, patients: np.ndarray, settings: Linear
) -> LinearResult:
    """Fit on training for each C, choose on validation, fit on both, judge on test.

    Args:
        vectors: (N, d), finite.
        labels: class of each, whole numbers from 0, (N,).
        sections: "training", "validation" or "test" of each, (N,); without validation a fifth of the training patients
            is drawn for it, of each class.
        patients: whose each is, (N,).
        settings: of the regression.

    Raises:
        ValueError: an unknown metric, values of C that are not above 0, an empty section, one class alone, vectors
            that are not finite, or labels that are no classes.

    Notes:
        The study's published program tries the same values; at 100 steps those above about 1 are not converged.
    """
    if settings.metric not in MEASURES or not settings.grid or not min(settings.grid) > 0:
        raise ValueError(
            f"metric, grid: must be one of {', '.join(MEASURES)} and values above 0; found {settings.metric!r} and "
            f"{list(settings.grid)[:5]}. Correct them."
        )
    check_vectors(vectors)
    check_labels(labels, np.flatnonzero(np.isin(sections, SECTIONS)))
    train, valid, test = split_rows(labels, sections, patients, by_image=settings.compat, seed=settings.seed)
    classes = int(labels.max()) + 1
    tried: list[dict] = []
    model = None
    order = sorted(settings.grid, reverse=settings.compat)
    if len(order) > 1:
        scale = _scale(vectors, train, settings.standardise)
        known, asked = (changed_rows(vectors, rows, scale) for rows in (train, valid))
        for value in order:
            model = _fit(known, labels[train], value, settings, model if settings.compat else None)
            answers = _spread(model, asked, classes)
            row = {"c": value, "score": Judge(labels[valid], answers)()[settings.metric]}
            row["log_loss"] = _log_loss(labels[valid], answers)
            tried.append({**row, "converged": bool(model.n_iter_.max() < settings.max_iter)})
        better = [row for row in tried if row["score"] > 0]
        if not better:
            raise ValueError(
                f"grid: a value must be better than 0 on validation; found the scores "
                f"{[round(row['score'], 3) for row in tried[:5]]} …. Use another metric, or a validation section with "
                "all classes."
            )
        # a tiny C orders records as well as another, and answers all of them with the most frequent class
        c = max(better, key=lambda row: (row["score"], 0 if settings.compat else -row["log_loss"]))["c"]
    else:
        c = float(order[0])
    both = np.concatenate([train, valid])
    scale = _scale(vectors, both, settings.standardise)
    known, asked = (changed_rows(vectors, rows, scale) for rows in (both, test))
    model = _fit(known, labels[both], c, settings, model if settings.compat else None)
    probabilities = _spread(model, asked, classes)
    figures = intervals(Judge(labels[test], probabilities), patients[test], seed=settings.seed)
    converged = bool(model.n_iter_.max() < settings.max_iter)
    if not converged:
        logger.warning("linear: the fit at C = %g has not converged in %d steps", c, settings.max_iter)
    return LinearResult(figures, float(c), tried, converged, test, probabilities)


def _scale(vectors: np.ndarray, rows: np.ndarray, standardise: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Features less their mean, over their deviation, as these rows have them; or as they are."""
    if not standardise:
        return lambda some: some
    mean, deviation = mean_and_deviation(vectors, rows)
    return lambda some: (some - mean) / deviation


def _fit(
    known: np.ndarray, labels: np.ndarray, c: float, settings: Linear, before: LogisticRegression | None
) -> LogisticRegression:
    model = before or LogisticRegression(max_iter=settings.max_iter, tol=1e-4, warm_start=settings.compat)
    model.set_params(C=c)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is in the result
        return model.fit(known, labels)


def _log_loss(truth: np.ndarray, probabilities: np.ndarray) -> float:
    own = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean())


def _spread(model: LogisticRegression, vectors: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities (N, classes); 0 for a class that the training has not."""
    found = np.zeros((len(vectors), classes))
    found[:, model.classes_] = model.predict_proba(vectors)
    return found
