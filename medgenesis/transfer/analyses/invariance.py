"""Invariance: how alike the features of an image and of its changed copy are, in units of how features vary."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, solve_triangular
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from medgenesis.transfer.encoder import Encoder

_RIDGE = 1e-6  # of the study
_MOST = 10_000  # images: more would not move a covariance of 2048 features by much


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Mean and covariance of an encoder's features over a data set; vectors are whitened by them.

    Args:
        mean: (d,).
        factor: lower Cholesky factor of the covariance, (d, d).
        samples: images that they are of.
        shrinkage: Ledoit and Wolf's, 0 to 1; None: the study's ridge of 1e-6 instead.
    """

    mean: np.ndarray
    factor: np.ndarray
    samples: int
    shrinkage: float | None

    @classmethod
    def of(cls, vectors: np.ndarray, *, compat: bool = False, name: str = "vectors") -> "FeatureStatistics":
        """Of vectors (N, d), of more than 10 000 a sample, with Ledoit and Wolf's shrinkage, for N is often below d; or
        as the study, with 1e-6 added to the diagonal: then directions in which no image varies decide. Errors call
        them by `name`, that of the encoder.

        Raises:
            ValueError: fewer than two vectors, not finite ones, equal ones alone (but for `compat`), or a covariance
                that is not positive definite.
        """
        if len(vectors) > _MOST:
            vectors = vectors[np.sort(np.random.default_rng(0).permutation(len(vectors))[:_MOST])]
        vectors = np.asarray(vectors, np.float64)
        if vectors.ndim != 2 or len(vectors) < 2 or not np.isfinite(vectors).all():
            raise ValueError(
                f"{name}: must be finite, (N, d) with two or more; found shape {vectors.shape}. Give more images."
            )
        if not compat and (vectors == vectors[0]).all():
            raise ValueError(
                f"{name}: features must differ from image to image; found the same of all {len(vectors)}. Look at the "
                "encoder and its weights, or leave it out."
            )
        mean, shrinkage = vectors.mean(0), None
        if compat:
            covariance = np.atleast_2d(np.cov(vectors, rowvar=False)) + _RIDGE * np.eye(vectors.shape[1])
        else:
            covariance, shrinkage = ledoit_wolf(vectors)
        try:
            factor = cho_factor(covariance, lower=True)[0]
        except np.linalg.LinAlgError as error:
            remedy = "Use shrinkage (no compat), or more images that differ." if compat else "Give images that differ."
            raise ValueError(
                f"{name}: the covariance of its features must be positive definite; found one that is not ({error}), "
                f"of {len(vectors)} images. {remedy}"
            ) from error
        return cls(mean, np.tril(factor), len(vectors), None if shrinkage is None else float(shrinkage))

    def whitened(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (N, d) less the mean, in coordinates in which the covariance is the identity."""
        return solve_triangular(self.factor, (np.asarray(vectors, np.float64) - self.mean).T, lower=True).T


def similarity(one: np.ndarray, other: np.ndarray, statistics: FeatureStatistics) -> tuple[np.ndarray, np.ndarray]:
    """Of pairs of vectors (N, d): the cosine of the whitened vectors, NaN where one has length 0, and their Mahalanobis
    distance, (N,) each."""
    a, b = statistics.whitened(one), statistics.whitened(other)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.where(lengths > 0, (a * b).sum(1) / lengths, np.nan)
    return cosine, np.linalg.norm(a - b, axis=1)


Change = Callable[[Tensor, float], Tensor]


def invariance(
    encoder: Encoder,
    images: Iterable[Tensor],
    changes: Mapping[str, tuple[Change, Sequence[float]]],
    statistics: FeatureStatistics,
) -> dict[str, list[dict[str, float]]]:
    """How alike an image and its changed copies are, parameter by parameter.

    Args:
        encoder: in evaluation mode.
        images: (C, *spatial) in [0, 1], of any sizes, read one by one: changed first, then shown as the encoder sees
            images.
        changes: name -> from an image and a parameter to the changed image, and the parameters.
        statistics: of the encoder's features.

    Returns:
        name -> a row a parameter: `parameter`, means over the images of `similarity` and `distance`, and `undefined`,
        how many images have no similarity and are left out of its mean.

    Raises:
        ValueError: features of another length than those of the statistics.

    References:
        Anton et al., J. Imaging 8(12):320, 2022, section on invariances.
    """
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in changes}
    for image in images:
        clean = _vector(encoder, image, statistics)
        for name, (change, parameters) in changes.items():
            changed = np.stack([_vector(encoder, change(image, one), statistics) for one in parameters])
            found[name].append(similarity(np.broadcast_to(clean, changed.shape), changed, statistics))
    return {name: _rows(changes[name][1], *map(np.stack, zip(*own, strict=True))) for name, own in found.items()}


def _rows(parameters: Sequence[float], cosines: np.ndarray, distances: np.ndarray) -> list[dict[str, float]]:
    """Means over the images of (images, parameters)."""
    return [
        {
            "parameter": float(parameter),
            "similarity": float(np.nanmean(cosine)) if np.isfinite(cosine).any() else float("nan"),
            "distance": float(distance.mean()),
            "undefined": int(np.isnan(cosine).sum()),
        }
        for parameter, cosine, distance in zip(parameters, cosines.T, distances.T, strict=True)
    ]


def _vector(encoder: Encoder, image: Tensor, statistics: FeatureStatistics) -> np.ndarray:
    vector = encoder.embed(encoder.prepared(image, "image")).mean(0).numpy()
    if len(vector) != len(statistics.mean):
        raise ValueError(
            f"{encoder.name}: must give as many features for every image, {len(statistics.mean)}; found {len(vector)}. "
            "Return vectors of one length, or maps."
        )
    return vector
