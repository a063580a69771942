"""Paired differences of two arms over draws and patients: a bootstrap, Holm's correction, and the verdict in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medgenesis.statistics.student import LEVEL, student

BOOTSTRAP = 10_000


@dataclass(frozen=True)
class Difference:
    """A mean with its interval.

    Args:
        mean: of all draws and patients.
        low, high: ends of the 95 % interval; NaN where there is a single draw or patient, or where all differ alike.
        p: two-sided, not corrected; NaN where there is a single draw or patient.
        draws, patients: how many it is of.
        won: draws in which it is above 0.
    """

    mean: float
    low: float
    high: float
    p: float
    draws: int
    patients: int
    won: int


def difference(values: np.ndarray, seed: int = 0, bootstrap: int = BOOTSTRAP) -> Difference:
    """The mean of (draws, patients) with its interval, for draws and patients both vary.

    The standard error is that of a bootstrap in which both are drawn with replacement, crossed; interval and p are
    those of Student's t, with as many degrees of freedom as the fewer of both leave: percentiles of few draws are too
    narrow (of 5 draws without any difference they found one in 10 to 17 % of cases, not in 5). Where all differ alike,
    p is that of the sign test of the fewer (`student`).

    References:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1 (2007).
    """
    draws, patients = values.shape
    mean, won, least = float(values.mean()), int((values.mean(axis=1) > 0).sum()), min(values.shape)
    means = resampled_means(values, np.random.default_rng(seed), bootstrap) if least > 1 else np.empty(0)
    return Difference(mean, *student(mean, means, least), draws, patients, won)


def resampled_means(values: np.ndarray, rng: np.random.Generator, bootstrap: int) -> np.ndarray:
    """Means (bootstrap,) of (draws, patients) in which each axis was drawn with replacement."""
    by = [rng.multinomial(size, np.full(size, 1 / size), size=bootstrap) / size for size in values.shape]
    return np.einsum("dp,bd,bp->b", values, *by, optimize=True)


def holm(p: Mapping[Any, float]) -> dict[Any, float]:
    """Holm's step-down correction: what each p becomes among all."""
    corrected, greatest = {}, 0.0
    for rank, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        greatest = max(greatest, min(1.0, (len(p) - rank) * value))
        corrected[name] = greatest
    return corrected


def verdict(mean: float, p: float) -> str:
    """The difference in words: "helps", "harms" or "no difference shown"; p is the corrected one."""
    if not p < LEVEL:
        return "no difference shown"
    return "helps" if mean > 0 else "harms"
