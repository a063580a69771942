"""Few-shot: how well the nearest mean of a few labelled images tells the class of others, over many episodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medgenesis.statistics.scores import Judge, intervals
from medgenesis.transfer.protocols.known_table import check_labels, check_vectors


@dataclass(frozen=True)
class FewShot:
    """Settings of the episodes.

    Args:
        ways: classes an episode; None: all, at most 5.
        shots: labelled images a class.
        queries: images a class that are answered.
        episodes: how many.
        seed: of the draws.
        by_patient: an episode has no patient twice, neither among the labelled nor among the queries; False draws
            images, as the study did.
        drop_small_classes: leave out classes with too few; else they are an error.
    """

    ways: int | None = None
    shots: int = 5
    queries: int = 15
    episodes: int = 600
    seed: int = 0
    by_patient: bool = True
    drop_small_classes: bool = False


@dataclass(frozen=True, eq=False)
class FewShotResult:
    """What the episodes found.

    Attributes:
        figures: `accuracy`, over queries, with the interval of a bootstrap over patients; `episode_accuracy`, the mean
            of the episodes with `half_width` = 1.96 sd / sqrt(episodes), the study's interval; `auc`, of the
            scores of each episode, likewise.
        accuracies: of each episode, (episodes,).
        correct: how often each record was told right, (N,).
        asked: how often each record was a query, (N,).
        left_out: names of the classes that were too small.
    """

    figures: dict[str, dict[str, float]]
    accuracies: np.ndarray
    correct: np.ndarray
    asked: np.ndarray
    left_out: list[int]


def few_shot(vectors: np.ndarray, labels: np.ndarray, patients: np.ndarray, settings: FewShot) -> FewShotResult:
    """Prototypical episodes on fixed features; all sections together, for nothing is trained.

    A class is the mean of the features of its labelled images; a query is of the nearest. Its score of a class is a
    margin (`prototype_scores`), for AUC not to depend on the scale of the features, as that of a softmax does.

    Args:
        vectors: (N, d), finite, memory-mapped or not.
        labels: class of each, whole numbers (N,); what is below 0 has no class and is left out.
        patients: whose each is, (N,).
        settings: of the episodes.

    Raises:
        ValueError: vectors that are not finite, labels that are no whole numbers, settings below 1, more ways than
            classes, or a class with too few patients (images), named.

    References:
        Snell et al., Prototypical networks, NeurIPS 2017 (arXiv 1703.05175); Anton et al., J. Imaging 8(12):320, 2022.
    """
    check_vectors(vectors)
    check_labels(labels)
    pools, left_out = _pools(labels, patients, settings)
    ways = min(5, len(pools)) if settings.ways is None else settings.ways
    if not 2 <= ways <= len(pools):
        raise ValueError(f"ways: must be from 2 to the number of classes, {len(pools)}; found {ways}. Give fewer.")
    generator = np.random.default_rng(settings.seed)
    correct, asked = np.zeros(len(labels)), np.zeros(len(labels))
    accuracies, aucs = [], []
    for _ in range(settings.episodes):
        support, query = _episode(pools, patients, ways, settings, generator)
        truth = np.repeat(np.arange(ways), settings.queries)
        scores = prototype_scores(vectors[support.ravel()].reshape(*support.shape, -1), vectors[query.ravel()])
        hits = scores.argmax(1) == truth
        np.add.at(correct, query.ravel(), hits)
        np.add.at(asked, query.ravel(), 1)
        accuracies.append(hits.mean())
        aucs.append(Judge(truth, scores, margins=True)()["auc"])
    used = asked > 0
    figures = intervals(weighted_accuracy(correct[used], asked[used]), patients[used], seed=settings.seed)
    figures["episode_accuracy"] = _over_episodes(accuracies)
    figures["auc"] = _over_episodes(aucs)
    return FewShotResult(figures, np.array(accuracies), correct, asked, left_out)


def prototype_scores(support: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Scores (Q, ways) of queries (Q, d), by labelled images (ways, shots, d): how much nearer, in squared distance, a
    class is than the nearest other one; above 0 for the answer alone.

    Of two classes this is the log-odds of the softmax of negative squared distances. Of more it is their limit for
    features of large scale: features times a factor have scores times its square, and the same order.
    """
    means, queries = support.astype(np.float64).mean(1), queries.astype(np.float64)
    distances = (queries**2).sum(1)[:, None] - 2 * queries @ means.T + (means**2).sum(1)
    nearest, second = np.partition(distances, 1, axis=1)[:, :2].T[..., None]
    own = np.arange(distances.shape[1]) == distances.argmin(1)[:, None]
    return np.where(own, second, nearest) - distances


def weighted_accuracy(correct: np.ndarray, asked: np.ndarray) -> Callable[[np.ndarray | None], Mapping[str, float]]:
    """From weights of records to the share of their queries that were told right."""

    def judge(weights: np.ndarray | None = None) -> dict[str, float]:
        weights = np.ones(len(asked)) if weights is None else weights
        return {"accuracy": float((weights * correct).sum() / (weights * asked).sum())}

    return judge


def _pools(
    labels: np.ndarray, patients: np.ndarray, settings: FewShot
) -> tuple[dict[int, list[np.ndarray]], list[int]]:
    """Class -> the records of each patient (or each record); and the classes that were too small."""
    if min(settings.shots, settings.queries, settings.episodes) < 1:
        raise ValueError(
            f"shots, queries, episodes: must be at least 1; found {settings.shots}, {settings.queries}, "
            f"{settings.episodes}. Give larger numbers."
        )
    least, what = settings.shots + settings.queries, "patients" if settings.by_patient else "images"
    pools: dict[int, list[np.ndarray]] = {}
    left_out = []
    for label in np.unique(labels[labels >= 0]).tolist():
        rows = np.flatnonzero(labels == label)
        owners = patients[rows] if settings.by_patient else rows
        pool = [rows[owners == owner] for owner in np.unique(owners)]
        if len(pool) >= least:
            pools[label] = pool
        elif settings.drop_small_classes:
            left_out.append(label)
        else:
            raise ValueError(
                f"shots, queries: every class must have so many {what}, {least} in all; found {len(pool)} of class "
                f"{label}. Give fewer, or drop small classes."
            )
    return pools, left_out


def _episode(
    pools: Mapping[int, list[np.ndarray]],
    patients: np.ndarray,
    ways: int,
    settings: FewShot,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the labelled images (ways, shots) and of the queries (ways, queries)."""
    wanted = settings.shots + settings.queries
    taken: set[Any] = set()
    drawn = np.empty((ways, wanted), np.int64)
    for way, label in enumerate(generator.choice(sorted(pools), ways, replace=False).tolist()):
        pool, count = pools[label], 0
        for place in generator.permutation(len(pool)):
            rows = pool[place]
            owner = patients[rows[0]]
            if settings.by_patient and owner in taken:
                continue  # in this episode with an image of another class
            taken.add(owner)
            drawn[way, count] = rows[generator.integers(len(rows))]
            count += 1
            if count == wanted:
                break
        if count < wanted:
            raise ValueError(
                f"shots, queries: an episode must have {wanted} patients of class {label} that are in no other class; "
                f"found {count}. Give fewer."
            )
    return drawn[:, : settings.shots], drawn[:, settings.shots :]


def _over_episodes(values: list[float]) -> dict[str, float]:
    half = 1.96 * float(np.std(values)) / len(values) ** 0.5
    mean = float(np.mean(values))
    return {"value": mean, "low": mean - half, "high": mean + half, "half_width": half}
