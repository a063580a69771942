"""Features of places: the maps of all levels of an encoder, read between their grid points."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def grid_of(sides: Sequence[int], stride: int = 1) -> Tensor:
    """Middles of a grid's cells, one for `stride` voxels of each side: (P, dims) from -1 to 1, last side fastest."""
    counts = [max(1, -(-side // stride)) for side in sides]
    axes = [(torch.arange(count) + 0.5) / count * 2 - 1 for count in counts]
    return torch.stack([axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")], 1)


def features_at(maps: Sequence[Tensor], places: Tensor) -> Tensor:
    """Features of places of one image at all levels, one beside the other, interpolated linearly: (P, sum of channels).

    Args:
        maps: (1, C, *spatial), any number of levels; their grids cover the same image.
        places: (P, dims), from -1 (border of the first cell) to 1, in the order of the axes.
    """
    turned = places.flip(1).to(maps[0])  # grid_sample counts the last axis first
    grid = turned.view(1, *([1] * (places.shape[1] - 1)), len(places), places.shape[1])
    options = {"mode": "bilinear", "padding_mode": "border", "align_corners": False}
    found = [F.grid_sample(one, grid, **options).flatten(2)[0].T for one in maps]
    return torch.cat(found, 1).cpu()
