"""Whether the nearest patients by feature have a like anatomy, as their label maps tell."""

from collections.abc import Iterable

import numpy as np
from scipy.spatial.distance import cdist


def anatomy(label: np.ndarray, values: Iterable[int]) -> np.ndarray:
    """Volume and extents of each organ, as fractions of the field of view; zeros where it is absent."""
    numbers = []
    for value in values:
        where = np.argwhere(label == value)
        extents = np.ptp(where, axis=0) / label.shape if len(where) else np.zeros(3)
        numbers += [len(where) / label.size, *extents]
    return np.array(numbers)


def retrieval(features: np.ndarray, anatomies: np.ndarray, k: int, draws: int = 1000) -> tuple[float, float, float]:
    """Score of the k nearest by feature, 0 chance and 1 perfect, and the interval that 95 % of random features get."""
    spread = anatomies.std(axis=0)
    apart = cdist(*[anatomies[:, spread > 0] / spread[spread > 0]] * 2)
    apart_by_feature = cdist(features, features)
    np.fill_diagonal(apart_by_feature, np.inf)  # nobody is his own neighbour
    chance = apart.sum() / (len(apart) * (len(apart) - 1))
    best = np.sort(apart, axis=1)[:, 1 : k + 1].mean()

    def score(by_feature: np.ndarray) -> float:
        found = np.argsort(by_feature, axis=1)[:, :k]
        return (chance - np.take_along_axis(apart, found, axis=1).mean()) / (chance - best)

    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(apart)) for _ in range(draws)]
    low, high = np.quantile([score(apart_by_feature[np.ix_(order, order)]) for order in orders], [0.025, 0.975])
    return score(apart_by_feature), low, high
