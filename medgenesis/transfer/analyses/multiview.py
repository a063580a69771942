"""Multi-view: whether the views of one patient are alike in an encoder's features, beside views of two patients."""

import logging
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from medgenesis.data.folds import patient_of
from medgenesis.errors import DatalistError
from medgenesis.statistics.intervals import interval_figure
from medgenesis.transfer.analyses.invariance import FeatureStatistics, similarity

logger = logging.getLogger(__name__)

_BOUNDS = {
    "similarity": (-1, 1),
    "distance": (0, np.inf),
    "similarity_of_others": (-1, 1),
    "difference": (-2, 2),
    "retrieval": (0, 1),
}  # what each figure can be


def view_pairs(records: Sequence[Mapping[str, Any]], most: int = 100, seed: int = 0) -> list[tuple[int, int]]:
    """Rows of two views of one patient: any two images, and where records have a `view` those of different `view`, of
    one `study` and of one `class` (of both eyes of one grade) where these are known; at most one pair a patient, and
    at most so many pairs, drawn by the seed. Patients without a pair are skipped, and counted in the log.

    Raises:
        DatalistError: no patient has two views.
    """
    by_patient: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        by_patient.setdefault(patient_of(record), []).append(row)
    generator, found = np.random.default_rng(seed), []
    for rows in by_patient.values():
        pairs = [(a, b) for a, b in combinations(rows, 2) if _are_views(records[a], records[b])]
        if pairs:
            found.append(pairs[generator.integers(len(pairs))])
    if not found:
        raise DatalistError(
            "records: must hold two views of a patient; found no patient with two images (of different `view`, in "
            "one `study` and of one `class`, where records have these). Add `patient`, and `view`, to the records."
        )
    if len(found) < len(by_patient):
        without = len(by_patient) - len(found)
        logger.info("multiview: %d of %d patients left out: no two views of theirs", without, len(by_patient))
    chosen = generator.permutation(len(found))[:most]
    return [found[place] for place in chosen]


def _are_views(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if one.get("view") is None or other.get("view") is None:
        return one.get("view") == other.get("view")
    return one["view"] != other["view"] and all(one.get(key) == other.get(key) for key in ("study", "class"))


def multiview(
    vectors: np.ndarray, pairs: Sequence[tuple[int, int]], statistics: FeatureStatistics, *, seed: int = 0
) -> dict[str, dict[str, float]]:
    """How alike views of one patient are, and views of two.

    Args:
        vectors: (N, d).
        pairs: rows, one pair a patient (`view_pairs`).
        statistics: of the features.
        seed: of the bootstrap.

    Returns:
        `similarity` and `distance` of the pairs; `similarity_of_others`, of the first view of each with the second view
        of the next patient; `difference` of both similarities; and `retrieval`, the share of patients whose second view
        is the most similar of all to the first. Each with its 95 % interval over patients; those for whom one is not
        defined are left out of it, and counted in the log.
    """
    first, second = (vectors[[pair[i] for pair in pairs]] for i in (0, 1))
    own, distance = similarity(first, second, statistics)
    others = similarity(first, np.roll(second, -1, axis=0), statistics)[0] if len(pairs) > 1 else np.full(1, np.nan)
    a, b = statistics.whitened(first), statistics.whitened(second)
    a /= np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-12)
    b /= np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-12)
    hits = (a @ b.T).argmax(1) == np.arange(len(pairs))
    measured = {"similarity": own, "distance": distance, "similarity_of_others": others, "difference": own - others}
    measured["retrieval"] = hits.astype(float)
    undefined = {name: int((~np.isfinite(values)).sum()) for name, values in measured.items()}
    if any(undefined.values()):
        logger.warning(
            "multiview: of %d patients left out, for features that are the mean of all have no direction, and one "
            "patient has no others: %s",
            *(len(pairs), ", ".join(f"{count} of {name}" for name, count in undefined.items() if count)),
        )
    return {name: _figure(values, seed, _BOUNDS[name]) for name, values in measured.items()}


def _figure(values: np.ndarray, seed: int, bounds: tuple[float, float]) -> dict[str, float]:
    finite = values[np.isfinite(values)]
    return interval_figure(finite, bounds=bounds, seed=seed)
