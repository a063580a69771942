"""Landmarks of one image, found in another by the nearest embedding."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medgenesis.data.landmarks import Landmarks
from medgenesis.transfer.dense.embedder import DenseEmbedder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LandmarkMatches:
    """How far from the truth each landmark was found.

    Attributes:
        images: names of the N images.
        landmarks: names of the L landmarks.
        distances: (N, N, L) pixels (of volumes mm, where their spacing was given): given in the first image, sought in
            the second; NaN from an image to itself, and where one of the two lacks the landmark.
    """

    images: tuple[str, ...]
    landmarks: tuple[str, ...]
    distances: np.ndarray

    def hit_rate(self, radius: float) -> float:
        """Share of the searches that ended within `radius` pixels of the truth."""
        known = self.distances[np.isfinite(self.distances)]
        return float((known <= radius).mean())

    @property
    def mean_distance(self) -> float:
        """Mean distance to the truth, pixels (mm)."""
        return float(np.nanmean(self.distances))

    def by_landmark(self, radius: float) -> dict[str, float]:
        """The hit rate of each landmark."""
        own = {name: self.distances[..., index] for index, name in enumerate(self.landmarks)}
        return {name: float((d[np.isfinite(d)] <= radius).mean()) for name, d in own.items()}


def match_landmarks(
    embedder: DenseEmbedder,
    images: Mapping[str, Tensor],
    landmarks: Landmarks,
    *,
    stride: int = 4,
    spacing: Mapping[str, Sequence[float]] | None = None,
) -> LandmarkMatches:
    """Give each image's landmarks, and seek them in every other image: the place whose embedding has the best cosine.

    Args:
        embedder: what embeds.
        images: name -> slab (k, H, W) or volume (k, X, Y, Z) in [0, 1]; at least two.
        landmarks: of each of these images, in its pixels (voxels). What is not in two of them is left out, and counted
            in the log.
        stride: pixels from each place that is tried to the next.
        spacing: name -> mm of a voxel along x, y, z, by which distances are told; None: in pixels.

    Raises:
        ValueError: fewer than two images, an image without landmarks, or no landmark in two of them.
        VolumeError: an image whose features are not finite, by its name.
    """
    names = _shared(images, landmarks)
    single = list(dict.fromkeys(name for image in images for name in landmarks[image] if name not in names))
    if single:
        count = len(names) + len(single)
        logger.info("landmarks: %d of %d left out: one image alone has %s", len(single), count, ", ".join(single))
    places, scale = _places(images, landmarks, names), _scales(images, spacing)
    queries = []
    for (name, image), own in zip(images.items(), places, strict=True):
        known = ~own.isnan().any(dim=1)
        vectors = embedder.at(image, own[known], name)
        queries.append(torch.full((len(names), vectors.shape[1]), torch.nan).index_put((known,), vectors))
    asked = F.normalize(torch.stack(queries), dim=2)  # (N, L, C)
    distances = np.full((len(images), len(images), len(names)), np.nan)
    for target, (name, image) in enumerate(images.items()):
        field = embedder.map(image, stride, name)
        cosines = asked @ F.normalize(field.vectors.flatten(1), dim=0)
        found = field.points[cosines.argmax(dim=2)]  # (N, L, 2); any place for a landmark that is not there
        distance = ((found - places[target]) * scale[target]).norm(dim=2)
        distance[asked.isnan().any(dim=2)] = torch.nan
        distance[target] = torch.nan
        distances[:, target] = distance.numpy()
    return LandmarkMatches(tuple(images), names, distances)


def same_position_baseline(
    images: Mapping[str, Tensor], landmarks: Landmarks, *, spacing: Mapping[str, Sequence[float]] | None = None
) -> LandmarkMatches:
    """The answer that looks at no image: each landmark where the other image has it. Bodies alike are placed alike.

    Args:
        images: see `match_landmarks`; as there, all of one size for this to make sense.
        landmarks: see `match_landmarks`.
        spacing: see `match_landmarks`; places are then mm from the first voxel.
    """
    names = _shared(images, landmarks)
    places = _places(images, landmarks, names) * torch.stack(_scales(images, spacing))[:, None]
    distances = (places[:, None] - places[None]).norm(dim=3).numpy()
    distances[np.eye(len(images), dtype=bool)] = np.nan
    return LandmarkMatches(tuple(images), names, distances)


def _shared(images: Mapping[str, Tensor], landmarks: Landmarks) -> tuple[str, ...]:
    """Names of the landmarks that at least two images have, in the order in which they come."""
    without = [name for name in images if not landmarks.get(name)]
    if len(images) < 2 or without:
        lacking = f", {without[0]!r} without" if without else ""
        raise ValueError(
            f"images: must be at least two, each with landmarks; found {len(images)}{lacking}. Name more in the table "
            "of landmarks, or leave out what has none."
        )
    every = [name for image in images for name in landmarks[image]]
    shared = tuple(name for name in dict.fromkeys(every) if every.count(name) > 1)
    if not shared:
        raise ValueError("landmarks: at least one must be in two images; found none. Give alike landmarks one name.")
    return shared


def _places(images: Mapping[str, Tensor], landmarks: Landmarks, names: tuple[str, ...]) -> Tensor:
    """Places (N, L, dims); NaN where an image lacks one."""
    absent = (np.nan,) * (next(iter(images.values())).ndim - 1)
    return torch.tensor([[landmarks[image].get(name, absent) for name in names] for image in images]).double()


def _scales(images: Mapping[str, Tensor], spacing: Mapping[str, Sequence[float]] | None) -> list[Tensor]:
    """Of each image the length of a step along x, y, (z)."""
    ones = {name: [1.0] * (image.ndim - 1) for name, image in images.items()}
    return [torch.tensor([float(one) for one in (spacing or ones)[name]]).double() for name in images]
