"""Clicks as further input channels of a network: one map a class, background first."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

SIGMA = 2.0  # voxels of the network's grid


def guidance_maps(
    clicks: Mapping[int, Sequence[Sequence[float]]], num_classes: int, shape: Sequence[int], device: torch.device | str
) -> Tensor:
    """Gaussians of 1 at the clicks, standard deviation 2 voxels; where they meet, the largest counts.

    Args:
        clicks: class -> voxels (N, dimensions) that belong to it; fractions of voxels are fine.
        num_classes: background included.
        shape: of the image, (*spatial).
        device: of the maps.

    Returns:
        (num_classes, *spatial), zero where nothing is clicked.

    Raises:
        ValueError: a class that there is not, or a click that has not one number an axis.

    References:
        Sakinis et al., arXiv 1903.08205, 2019; Diaz-Pinto et al., DeepEdit, arXiv 2305.10655, 2022: one map a class.
    """
    maps = torch.zeros((num_classes, *shape), device=device)
    axes = [torch.arange(side, device=device, dtype=maps.dtype) for side in shape]
    for value, places in clicks.items():
        for place in places:
            if not 0 <= value < num_classes or len(place) != len(axes):
                raise ValueError(
                    f"clicks: must be of classes 0 to {num_classes - 1}, each of {len(axes)} numbers; found "
                    f"{list(place)} of class {value}. Give the classes of the network and the voxels of its image."
                )
            found = maps.new_ones(())
            for axis, at in zip(axes, place, strict=True):
                found = found[..., None] * torch.exp(-((axis - float(at)) ** 2) / (2 * SIGMA**2))
            maps[value] = torch.maximum(maps[value], found)
    return maps
