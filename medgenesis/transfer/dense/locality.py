"""Whether each landmark has a place of its own among the embeddings."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.metrics import silhouette_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from medgenesis.data.landmarks import Landmarks
from medgenesis.transfer.dense.embedder import DenseEmbedder


def embed_landmarks(
    embedder: DenseEmbedder, images: Mapping[str, Tensor], landmarks: Landmarks
) -> tuple[np.ndarray, list[str], list[str]]:
    """Embed every landmark of these images.

    Args:
        embedder: what embeds.
        images: name -> slab (k, H, W) in [0, 1].
        landmarks: in the images' pixels; those of other images are left out.

    Returns:
        Vectors (N, C), and of each the name of its landmark and that of its image.

    Raises:
        ValueError: none of the images has a landmark.
        VolumeError: an image whose features are not finite, by its name.
    """
    known = [name for name in images if landmarks.get(name)]
    if not known:
        raise ValueError(
            f"landmarks: must be of these images; found none of {list(images)[:3]} … in the table. Give the table of "
            "these images."
        )
    vectors = [embedder.at(images[name], list(landmarks[name].values()), name).numpy() for name in known]
    labels = [(landmark, name) for name in known for landmark in landmarks[name]]
    return np.concatenate(vectors), [landmark for landmark, _ in labels], [name for _, name in labels]


def measure_locality(
    vectors: np.ndarray, landmarks: Sequence[str], images: Sequence[str], *, k: int = 5
) -> dict[str, float]:
    """How well embeddings of landmarks fall into groups, one a landmark, whoever's they are; all by cosine distance.

    Args:
        vectors: (N, C).
        landmarks: of each vector, its landmark: two kinds or more, and one of them twice.
        images: of each vector, its image: two or more.
        k: neighbours that vote; at most as many as there are other images, which have each landmark once.

    Returns:
        "silhouette", -1 to 1, mean over the vectors; "accuracy", share of the vectors whose landmark the k nearest
        vectors of other images tell; "distance ratio", mean distance within landmarks over that between (0 is best, 1
        says nothing).

    Raises:
        ValueError: other numbers than above, or vectors that are not finite.

    References:
        Hosseinzadeh Taher et al., Adam, DART at MICCAI 2023 (arXiv 2309.15358), section 3, where a t-SNE is looked at.

    Notes:
        For the image, `medgenesis.report.draw_feature_map(vectors, landmarks)`.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    kinds, count = len(set(landmarks)), len(vectors)
    if vectors.ndim != 2 or not np.isfinite(vectors).all() or not len(landmarks) == len(images) == count:
        raise ValueError(
            f"vectors: must be finite, (N, C), with N landmarks and N images; found shape {vectors.shape}, "
            f"{len(landmarks)} and {len(images)}. Give one of each a row."
        )
    if not 2 <= kinds < count or len(set(images)) < 2:
        raise ValueError(
            f"landmarks: must be of two kinds or more, in two images or more; found {kinds} kinds of {count} in "
            f"{len(set(images))} images. Mark more of them."
        )
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    vote = KNeighborsClassifier(min(k, len(set(images)) - 1), metric="cosine")
    told = cross_val_predict(vote, units, landmarks, groups=images, cv=LeaveOneGroupOut())
    return {
        "silhouette": float(silhouette_score(units, landmarks, metric="cosine")),
        "accuracy": float((told == np.asarray(landmarks)).mean()),
        "distance ratio": _ratio(units, landmarks),
    }


def _ratio(units: np.ndarray, landmarks: Sequence[str]) -> float:
    """Mean cosine distance of pairs within landmarks over that of pairs between, by sums: no table of all pairs."""
    names, group = np.unique(landmarks, return_inverse=True)
    sizes = np.bincount(group)
    sums = np.zeros((len(names), units.shape[1]))
    np.add.at(sums, group, units)
    itself = (units**2).sum()
    within, pairs = (sums**2).sum() - itself, (sizes * (sizes - 1)).sum()
    every, all_pairs = (sums.sum(axis=0) ** 2).sum() - itself, len(units) * (len(units) - 1)
    apart = 1 - (every - within) / (all_pairs - pairs)
    return float((1 - within / pairs) / apart) if apart > 1e-12 else 1.0
