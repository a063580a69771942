"""Crops of images and volumes: boxes of random size and proportions, resized, and the affine that follows them."""

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import MetaKeys
from torch.nn.functional import interpolate


def _proportions(steps: np.ndarray) -> np.ndarray:
    """Logarithms of n sides (..., n) with product 1, from those (..., n - 1) of each side over the one before."""
    sides = np.concatenate([np.zeros_like(steps, shape=(*steps.shape[:-1], 1)), steps.cumsum(axis=-1)], axis=-1)
    return sides - sides.mean(axis=-1, keepdims=True)


def draw_boxes(
    tries: np.ndarray, places: np.ndarray, shape: np.ndarray, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Turn uniform numbers into boxes: the first try that fits, or else the largest box allowed, in the middle.

    Args:
        tries: (B, T, n) in [0, 1): for the share of all voxels, and for the n - 1 ratios of neighbouring sides.
        places: (B, n) in [0, 1).
        shape: (n,) sides of the volume, voxels.
        scale: least and greatest share; uniform between.
        ratio: least and greatest ratio of a side to the one before; its logarithm is uniform between.

    Returns:
        First voxels and sides, int64 (B, n) each.
    """
    (small, large), (low, high) = scale, np.log(ratio)
    voxels = (small + tries[..., :1] * (large - small)) * shape.prod()
    sides = np.rint(np.exp(np.log(voxels) / len(shape) + _proportions(low + tries[..., 1:] * (high - low))))
    fits = ((sides >= 1) & (sides <= shape)).all(axis=-1)
    largest = np.exp(_proportions(np.diff(np.log(shape)).clip(low, high)))
    largest = np.rint(largest * (shape / largest).min()).clip(1, shape)
    found = fits.any(axis=1)[:, None]
    sides = np.where(found, sides[np.arange(len(sides)), fits.argmax(axis=1)], largest).astype(np.int64)
    room = shape - sides
    return np.where(found, (places * (room + 1)).astype(np.int64), room // 2), sides


def _resized(cube: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    """Resize (C, *spatial) linearly, averaging where it becomes smaller."""
    if len(size) == 3:  # PyTorch averages in images alone: the last two axes, then the first beside all of the rest
        flat = _resized(cube.flatten(0, 1), size[1:]).unflatten(0, cube.shape[:2]).flatten(2)
        return _resized(flat, (size[0], flat.shape[2])).unflatten(2, size[1:])
    return interpolate(cube.contiguous()[None], size, mode="bilinear", antialias=True)[0]


def resized_crops(volume: torch.Tensor, starts: np.ndarray, sides: np.ndarray, size: tuple[int, ...]) -> torch.Tensor:
    """Cut a box from each cube and resize it: (B, C, *spatial) -> (B, C, *size), a new tensor of the same dtype.

    Args:
        volume: floating point; halves are computed in single precision.
        starts: (B, n) first voxels.
        sides: (B, n) voxels.
        size: sides of the result.
    """
    wide = volume.to(torch.promote_types(volume.dtype, torch.float32))
    boxes = zip(wide, starts.tolist(), sides.tolist(), strict=True)
    return torch.stack([_resized(crop(cube, *box), size) for cube, *box in boxes]).to(volume.dtype)


def crop(cube: torch.Tensor, start: list[int], sides: list[int]) -> torch.Tensor:
    """A box of (C, *spatial), as a view."""
    return cube[(slice(None), *(slice(first, first + side) for first, side in zip(start, sides, strict=True)))]


def move_affine(result: torch.Tensor, starts: np.ndarray, steps: np.ndarray) -> torch.Tensor:
    """Let the affine of a MetaTensor follow a crop of it; other tensors have none.

    Args:
        result: (C, *spatial) with starts and steps (n,), or a batch of those with (B, n). It is changed and returned.
        starts: first voxel that was cut; edges of voxels are mapped to edges, as MONAI does.
        steps: voxels of the volume to one of the result.
    """
    if isinstance(result, MetaTensor):
        affine, axes = result.affine, np.arange(starts.shape[-1])
        moves = np.zeros((*starts.shape[:-1], *affine.shape[-2:]))
        moves[...] = np.eye(affine.shape[-1])
        moves[..., axes, axes] = steps
        moves[..., axes, -1] = starts + (np.asarray(steps) - 1) / 2
        result.meta[MetaKeys.AFFINE] = affine @ torch.from_numpy(moves).to(affine)
    return result
