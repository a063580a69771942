"""Separability: how far the embeddings of different images lie from each other."""

import logging
from pathlib import Path

import numpy as np

from medgenesis.storage.tables import write_table

logger = logging.getLogger(__name__)

_SHARES = (5, 25, 50, 75, 95)
SEPARABILITY_COLUMNS = ("images", "pairs", "mean", "sd", *(f"q{share:02d}" for share in _SHARES))
_MOST = 2000  # images: two million pairs


def separability(vectors: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Distances between all pairs of embeddings, each scaled to length 1: from 0 (alike) over sqrt(2) (unrelated) to 2.

    Args:
        vectors: (images, channels); of more than 2000 a sample is taken.
        seed: of the sample.

    Returns:
        `SEPARABILITY_COLUMNS`: numbers of images and pairs, mean, standard deviation and quantiles.

    Raises:
        ValueError: fewer than two images.

    References:
        Hosseinzadeh Taher et al., CAiD, MIDL 2022 (arXiv 2204.07344), separability of features.
    """
    if len(vectors) < 2:
        raise ValueError(f"vectors: must be of two images at least; found {len(vectors)}. Give more images.")
    if len(vectors) > _MOST:
        vectors = vectors[np.sort(np.random.default_rng(seed).permutation(len(vectors))[:_MOST])]
    unit = np.asarray(vectors, np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    upper = np.triu_indices(len(unit), 1)
    distances = np.sqrt(np.maximum(2 - 2 * (unit @ unit.T)[upper], 0))
    figures = (len(unit), len(distances), distances.mean(), distances.std(), *np.percentile(distances, _SHARES))
    return dict(zip(SEPARABILITY_COLUMNS, map(float, figures), strict=True))


def report_separability(vectors: np.ndarray, path: str | Path) -> None:
    """Write the figures of `separability` to a CSV file; of a single image nothing."""
    if len(vectors) < 2:
        return
    found = separability(vectors)
    write_table(path, [found], SEPARABILITY_COLUMNS, decimals={"images": ".0f", "pairs": ".0f"})
    logger.info("distance of two images: mean %.3f, sd %.3f; written: %s", found["mean"], found["sd"], path)
