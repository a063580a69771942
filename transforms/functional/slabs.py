"""Slabs: neighbouring slices of a volume, turned as an image of the body is displayed: head (or front) up."""

from collections.abc import Sequence

import torch


def to_display(planes: torch.Tensor, axis: int) -> torch.Tensor:
    """Turn slices as MONAI cuts them into images.

    Args:
        planes: (..., A, B), the two axes that remain of (X, Y, Z), in this order; a view is returned where one will do.
        axis: the one that the slices lie across.

    Returns:
        (..., H, W), rows and columns: across Z, H = Y and W = X; across Y, H = Z reversed and W = X; across X, H = Z
        reversed and W = Y. So on the LPS grid the head, or else the front, is up.
    """
    images = planes.mT
    return images if axis == 2 else images.flip(-2)


def from_display(images: torch.Tensor, axis: int) -> torch.Tensor:
    """The inverse of `to_display`: images (..., H, W) as planes (..., A, B)."""
    return (images if axis == 2 else images.flip(-2)).mT


def take_slab(volume: torch.Tensor, axis: int, slices: Sequence[int]) -> torch.Tensor:
    """Some slices of a volume as channels of an image.

    Args:
        volume: (X, Y, Z).
        axis: the one that the slices lie across.
        slices: their k places on it; those before the first and behind the last repeat these.

    Returns:
        (k, H, W), a new tensor; see `to_display`.
    """
    places = torch.as_tensor(slices, device=volume.device).clamp(0, volume.shape[axis] - 1)
    return to_display(volume.index_select(axis, places).movedim(axis, 0), axis).contiguous()
