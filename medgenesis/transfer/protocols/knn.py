"""k nearest neighbours: the class of an image by those of training and validation most like it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from medgenesis.statistics.scores import Judge, intervals
from medgenesis.transfer.protocols.known_table import check_labels, check_vectors
from medgenesis.transfer.scratch import changed_rows, mean_and_deviation


@dataclass(frozen=True)
class Knn:
    """Settings.

    Args:
        k: neighbours, at most as many as there are to learn from.
        temperature: a neighbour's vote is exp(cosine / temperature).
        distance: "cosine"; or "standardised": Euclidean, of features with the mean 0 and deviation 1 that those learnt
            from have, and all neighbours vote alike. For a few numbers of different units a cosine means nothing.
        seed: of the bootstrap.
    """

    k: int = 20
    temperature: float = 0.07
    distance: str = "cosine"
    seed: int = 0


def knn(
    vectors: np.ndarray, labels: np.ndarray, sections: np.ndarray, patients: np.ndarray, settings: Knn
) -> tuple[dict[str, dict[str, float]], np.ndarray, np.ndarray]:
    """Vote of the nearest training and validation records, by cosine, for each test record.

    Args:
        vectors: (N, d), finite.
        labels: class of each, whole numbers from 0, (N,).
        sections: of each, (N,).
        patients: whose each is, (N,).
        settings: of the vote.

    Returns:
        Figures with intervals over patients, rows of the test records (T,), and their scores (T, classes).

    Raises:
        ValueError: k below 1, a temperature that is not above 0, another distance, no records to learn from
            or to judge, vectors that are not finite, or labels that are no classes.

    References:
        Wu et al., Unsupervised feature learning via non-parametric instance discrimination, CVPR 2018: the vote.
    """
    known, test = np.flatnonzero(np.isin(sections, ("training", "validation"))), np.flatnonzero(sections == "test")
    if settings.k < 1 or not settings.temperature > 0 or not len(known) or not len(test):
        raise ValueError(
            f"k, temperature: must be at least 1 and above 0, with training and test records; found {settings.k}, "
            f"{settings.temperature}, {len(known)} and {len(test)} records. Correct them."
        )
    if settings.distance not in ("cosine", "standardised"):
        raise ValueError(f"distance: must be cosine or standardised; found {settings.distance!r}. Choose one of them.")
    check_vectors(vectors)
    check_labels(labels, np.concatenate([known, test]))
    by_cosine = settings.distance == "cosine"
    scale = _units if by_cosine else _standardised(*mean_and_deviation(vectors, known))
    scaled = [changed_rows(vectors, rows, scale) for rows in (known, test)]
    search = NearestNeighbors(n_neighbors=min(settings.k, len(known)), algorithm="brute").fit(scaled[0])
    distances, nearest = search.kneighbors(scaled[1])
    # of unit vectors the cosine is 1 - distance² / 2; less that of the nearest, whose vote is 1 at any temperature
    further = distances**2 - distances[:, :1] ** 2
    votes = np.exp(-further / 2 / settings.temperature) if by_cosine else np.ones_like(distances)
    scores = np.zeros((len(test), int(labels.max()) + 1))
    for column in range(nearest.shape[1]):
        np.add.at(scores, (np.arange(len(test)), labels[known][nearest[:, column]]), votes[:, column])
    scores /= scores.sum(1, keepdims=True)
    return intervals(Judge(labels[test], scores), patients[test], seed=settings.seed), test, scores


def _standardised(mean: np.ndarray, deviation: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda some: (some - mean) / deviation


def _units(some: np.ndarray) -> np.ndarray:
    return some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-12)
