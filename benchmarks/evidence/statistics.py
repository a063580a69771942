"""Paired differences of two arms: a bootstrap over draws, patients and seeds, and Holm's correction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

BOOTSTRAP = 10_000
LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """A mean with its interval.

    Args:
        mean: of all draws, patients and seeds.
        low, high: ends of the 95 % interval; NaN where there is a single draw.
        p: two-sided, not corrected.
        draws, seeds, patients: how many it is of.
        won: draws in which it is above 0.
    """

    mean: float
    low: float
    high: float
    p: float
    draws: int
    seeds: int
    patients: int
    won: int


def scores_of(rows: list[Mapping[str, Any]]) -> dict[tuple[int, int], dict[int, float]]:
    """Mean Dice over structures, of rows: (draw, seed) -> patient -> Dice; absent structures are left out."""
    found: dict[tuple[int, int], dict[int, list[float]]] = {}
    for row in rows:
        if row["dice"] != "":
            cell = found.setdefault((int(row["draw"]), int(row["seed"])), {})
            cell.setdefault(int(row["patient"]), []).append(float(row["dice"]))
    return {cell: {one: float(np.mean(some)) for one, some in own.items()} for cell, own in found.items()}


def cube_of(*arms: Mapping[tuple[int, int], Mapping[int, float]]) -> list[np.ndarray]:
    """What arms have in common, (seeds, draws, patients) of each arm, paired.

    Draws are those that all arms have with the first seed; a further seed counts once it has all of these draws. Where
    each draw has one seed in common, the seeds are those of the draws: (1, draws, patients).
    """
    cells = set.intersection(*(set(arm) for arm in arms))
    if not cells:
        return [np.empty((0, 0, 0)) for _ in arms]
    if len({draw for draw, _ in cells}) == len(cells):
        grid = [sorted(cells)]
    else:
        seeds = sorted({seed for _, seed in cells})
        draws = sorted(draw for draw, seed in cells if seed == seeds[0])
        grid = [[(draw, one) for draw in draws] for one in seeds if all((draw, one) in cells for draw in draws)]
    patients = sorted(set.intersection(*(set(arm[cell]) for arm in arms for row in grid for cell in row)))
    return [np.array([[[arm[cell][one] for one in patients] for cell in row] for row in grid]) for arm in arms]


def difference(values: np.ndarray, seed: int = 0, bootstrap: int = BOOTSTRAP) -> Difference:
    """The mean of (seeds, draws, patients) with its interval; each of the three is drawn with replacement, crossed.

    References:
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1 (2007).
    """
    seeds, draws, patients = values.shape
    mean, won = float(values.mean()), int((values.mean(axis=(0, 2)) > 0).sum())
    if draws < 2:
        return Difference(mean, np.nan, np.nan, np.nan, draws, seeds, patients, won)
    means = resampled_means(values, np.random.default_rng(seed), bootstrap)
    low, high = np.percentile(means, [2.5, 97.5])
    tail = min((means <= 0).sum(), (means >= 0).sum())
    p = min(1.0, 2 * (tail + 1) / (bootstrap + 1))
    return Difference(mean, float(low), float(high), float(p), draws, seeds, patients, won)


def resampled_means(values: np.ndarray, rng: np.random.Generator, bootstrap: int) -> np.ndarray:
    """Means (bootstrap,) of (seeds, draws, patients) in which each axis was drawn with replacement."""
    by = [rng.multinomial(size, np.full(size, 1 / size), size=bootstrap) / size for size in values.shape]
    over_patients = np.einsum("sdp,bp->bsd", values, by[2], optimize=True)
    return np.einsum("bsd,bs,bd->b", over_patients, by[0], by[1], optimize=True)


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
