"""Which study to label next, by what self-supervision knows of all of them, or by a model's doubt.

Coverage: the study that is farthest from the labelled ones (k-centre, greedy; Sener and Savarese, 2018); the very first
is the most typical one. Typical: the most typical study of the largest group in which nothing is labelled yet
(TypiClust; Hacohen, Dekel and Weinshall, 2022), which suits the first few labels.
"""

from collections.abc import Callable, Collection, Mapping

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances
from torch import Tensor

from medgenesis.losses import hard_dice

NEIGHBOURS = 5


def farthest(vectors: Mapping[str, np.ndarray], labelled: Collection[str]) -> tuple[str, float]:
    """The study whose nearest labelled one is farthest; without labels the most typical one.

    Args:
        vectors: name -> features, of labelled and unlabelled studies; at least one is unlabelled.
        labelled: names.

    Returns:
        Its name, and that distance (of features that have a standard deviation of 1).
    """
    names, points = _points(vectors)
    known = [i for i, name in enumerate(names) if name in labelled]
    free = [i for i, name in enumerate(names) if name not in labelled]
    if not known:
        best = max(free, key=_typicality(points, free).__getitem__)
        return names[best], 0.0
    distances = pairwise_distances(points)[np.ix_(free, known)].min(1)
    best = int(distances.argmax())
    return names[free[best]], float(distances[best])


def most_typical(vectors: Mapping[str, np.ndarray], labelled: Collection[str], seed: int = 0) -> tuple[str, float]:
    """The most typical study of the largest group without a label, of one group more than there are labels.

    Args and Returns as of `farthest`; the number is one over the mean distance to the nearest of its group.
    """
    names, points = _points(vectors)
    known = {i for i, name in enumerate(names) if name in labelled}
    count = min(len(known) + 1, len(np.unique(points, axis=0)))
    groups = KMeans(count, n_init=5, random_state=seed).fit_predict(points)
    free = [i for i in range(len(names)) if i not in known]
    open_groups = {int(groups[i]) for i in free} - {int(groups[i]) for i in known}
    candidates = [i for i in free if groups[i] in open_groups] if open_groups else free
    sizes = np.bincount(groups[candidates], minlength=count)
    members = [i for i in candidates if groups[i] == sizes.argmax()]
    typical = _typicality(points, members)
    best = max(members, key=lambda i: typical[i])
    return names[best], float(typical[best])


@torch.no_grad()
def flip_disagreement(segment: Callable[[Tensor], Tensor], image: Tensor) -> float:
    """1 minus the Dice of the answers on an image and on its mirror image, mean over the classes found in either.

    Args:
        segment: from images (1, C, *spatial) to scores (1, classes, *spatial), background first.
        image: (C, *spatial), mirrored along the first axis.
    """
    first, second = (segment(one[None]).argmax(1) for one in (image, image.flip(1)))
    second = second.flip(1)
    values = range(1, 1 + int(max(first.max(), second.max())))
    dice = [one for one in (hard_dice(first == value, second == value) for value in values) if one is not None]
    return 1 - sum(dice) / len(dice) if dice else 0.0


def _points(vectors: Mapping[str, np.ndarray]) -> tuple[list[str], np.ndarray]:
    """Names in their order, and features with mean 0 and standard deviation 1."""
    names = sorted(vectors)
    points = np.stack([vectors[name] for name in names]).astype(float)
    spread = points.std(0)
    return names, (points - points.mean(0)) / np.where(spread > 0, spread, 1)


def _typicality(points: np.ndarray, members: list[int]) -> dict[int, float]:
    """One over the mean distance to the nearest of the group, by number."""
    distances = pairwise_distances(points[members])
    near = np.sort(distances, 1)[:, 1 : 1 + NEIGHBOURS]
    mean = near.mean(1) if near.shape[1] else np.zeros(len(members))
    return {i: 1 / (one + 1e-9) for i, one in zip(members, mean, strict=True)}
