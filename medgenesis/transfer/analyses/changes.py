"""Changes of images and volumes whose effect on features is asked: geometry, brightness, blur, noise-free all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor

from medgenesis.transfer.analyses.invariance import Change


@dataclass(frozen=True)
class Family:
    """A kind of change with its grid of parameters.

    Args:
        change: from an image (C, *spatial) in [0, 1] and a parameter to the changed image.
        parameters: default grid.
        identity: the parameter that changes nothing; None: no such one is on the grid.
        unit: of the parameter.
    """

    change: Change
    parameters: tuple[float, ...]
    identity: float | None
    unit: str


def _warped(image: Tensor, matrix: np.ndarray) -> Tensor:
    """The image where an affine map of its middle-centred voxels leads, linear, 0 outside."""
    sides = np.array(image.shape[1:], float)
    scale = np.diag(sides / 2)
    inverse = np.linalg.inv(scale) @ np.linalg.inv(matrix[:-1, :-1]) @ scale  # in units of half the sides
    shift = -inverse @ (np.linalg.inv(scale) @ matrix[:-1, -1])
    order = np.arange(len(sides))[::-1]  # affine_grid counts the last axis first
    theta = np.concatenate([inverse[order][:, order], shift[order][:, None]], 1)
    grid = F.affine_grid(torch.tensor(theta, dtype=torch.float32)[None], [1, *image.shape], align_corners=False)
    return F.grid_sample(image.as_subclass(Tensor)[None].float(), grid, align_corners=False)[0]


def _matrix(dims: int) -> np.ndarray:
    return np.eye(dims + 1)


def rotated(image: Tensor, degrees: float) -> Tensor:
    """Turned in the plane of the first two axes (of a volume: axial), about its middle; zeros come in."""
    matrix, angle = _matrix(image.ndim - 1), math.radians(degrees)
    matrix[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return _warped(image, matrix)


def shifted(image: Tensor, share: float) -> Tensor:
    """Moved along its first axis by a share of its side; zeros come in."""
    matrix = _matrix(image.ndim - 1)
    matrix[0, -1] = share * image.shape[1]
    return _warped(image, matrix)


def scaled(image: Tensor, factor: float) -> Tensor:
    """Enlarged about its middle on all axes; zeros come in where it shrinks."""
    matrix = _matrix(image.ndim - 1)
    matrix[:-1, :-1] *= factor
    return _warped(image, matrix)


def sheared(image: Tensor, degrees: float) -> Tensor:
    """Sheared: the first axis moves with the second."""
    matrix = _matrix(image.ndim - 1)
    matrix[0, 1] = math.tan(math.radians(degrees))
    return _warped(image, matrix)


def flipped(image: Tensor, axis: float) -> Tensor:
    """Mirrored along one axis; -1 leaves it."""
    return image if axis < 0 else image.flip(1 + int(axis))


def brightened(image: Tensor, factor: float) -> Tensor:
    """Times a factor, clipped to [0, 1]."""
    return (image * factor).clamp(0, 1)


def contrasted(image: Tensor, factor: float) -> Tensor:
    """Distances to the mean times a factor, clipped to [0, 1]."""
    mean = image.mean()
    return ((image - mean) * factor + mean).clamp(0, 1)


def gamma(image: Tensor, exponent: float) -> Tensor:
    """To a power."""
    return image.clamp(0, 1) ** exponent


def blurred(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, sigma in pixels or voxels."""
    plain = image.numpy(force=True)
    return torch.from_numpy(gaussian_filter(plain, (0, *([sigma] * (plain.ndim - 1))), mode="nearest"))


def posterised(image: Tensor, bits: float) -> Tensor:
    """To so many bits a value."""
    levels = 2 ** int(bits)
    return (image.clamp(0, 1) * levels).floor().clamp(max=levels - 1) / (levels - 1)


def inverted(image: Tensor, on: float) -> Tensor:
    """1 less the image, where on."""
    return 1 - image if on else image


def _linspace(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(np.linspace(low, high, count).tolist())


CHANGES: dict[str, Family] = {
    "rotation": Family(rotated, tuple(np.arange(0, 360, 30.0).tolist()), 0.0, "degrees"),
    "translation": Family(shifted, _linspace(-0.2, 0.2, 9), 0.0, "of the side"),
    "scale": Family(scaled, _linspace(0.5, 1.5, 9), 1.0, "times"),
    "shear": Family(sheared, _linspace(-40, 40, 9), 0.0, "degrees"),
    "flip": Family(flipped, (-1.0, 0.0, 1.0), -1.0, "axis"),
    "brightness": Family(brightened, _linspace(0.25, 2, 8), 1.0, "times"),
    "contrast": Family(contrasted, _linspace(0.25, 2, 8), 1.0, "times"),
    "gamma": Family(gamma, _linspace(0.5, 2, 7), 1.0, "exponent"),
    "blur": Family(blurred, _linspace(0, 6, 7), 0.0, "pixels"),
    "posterise": Family(posterised, tuple(map(float, range(1, 8))), None, "bits"),
    "invert": Family(inverted, (0.0, 1.0), 0.0, "on"),
}


def family(name: str) -> Family:
    """The changes of that name.

    Raises:
        ValueError: there are none.
    """
    if name not in CHANGES:
        raise ValueError(f"change: must be one of {', '.join(CHANGES)}; found {name!r}. Choose one of them.")
    return CHANGES[name]


def means(rows: Sequence[dict], identity: float | None) -> dict[str, float]:
    """Mean similarity over the parameters, with the one that changes nothing and without it."""
    every = [row["similarity"] for row in rows]
    others = [row["similarity"] for row in rows if row["parameter"] != identity]
    return {"similarity": float(np.nanmean(others)), "similarity_with_identity": float(np.nanmean(every))}
