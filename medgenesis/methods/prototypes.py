"""Classes known by prototypes: mean feature vectors of regions that were marked in another image."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_COVERED = 0.9  # share of a window that must be of the class for its mean to be a local prototype


def prototypes(features: Tensor, mask: Tensor, window: int | Sequence[int] = 8) -> Tensor:
    """Prototypes of what is marked: the mean of all of it, and of each window of a grid that lies in it.

    Local prototypes describe what is not alike in itself, the background above all.

    Args:
        features: (D, *spatial), of unit length along D.
        mask: (*spatial), 0 or 1.
        window: sides of the grid's windows, voxels; a rest at the far end is not used.

    Returns:
        (N, D) of unit length, the mean of all first; none (0, D) where nothing is marked.

    References:
        Ouyang et al., Self-supervision with superpixels, ECCV 2020 (arXiv 2007.09886), section 3.3: adaptive local
        prototypes.
    """
    rank, mask = mask.ndim, mask.to(features.dtype)
    if not mask.any():
        return features.new_zeros((0, features.shape[0]))
    whole = (features * mask).flatten(1).sum(dim=1) / mask.sum()
    sides = [window] * rank if isinstance(window, int) else list(window)
    sides = [min(side, length) for side, length in zip(sides, mask.shape, strict=True)]
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[rank - 1]
    share = pool(mask[None, None], sides)[0, 0].flatten()
    sums = pool((features * mask)[None], sides)[0].flatten(1)
    inside = share >= _COVERED
    local = (sums[:, inside] / share[inside]).T
    return F.normalize(torch.cat([whole[None], local]), dim=1)


def prototype_logits(features: Tensor, banks: Sequence[Tensor], scale: float = 20.0) -> Tensor:
    """Logits of each voxel for each class: how near it is to the class's nearest prototypes.

    logit = scale * sum over the prototypes p of softmax(scale * cos(x, p)) * cos(x, p)

    Args:
        features: (D, *spatial), of unit length along D.
        banks: of each class its prototypes (N, D); a class with none is nowhere (logit -scale).
        scale: inverse temperature of the cosines.

    Returns:
        (classes, *spatial).

    References:
        Ouyang et al. 2020, section 3.3, equation (3): similarity maps fused by a softmax over the prototypes.
    """
    voxels = features.flatten(1)
    logits = []
    for bank in banks:
        if len(bank) == 0:
            logits.append(voxels.new_full(voxels.shape[1:], -scale))
            continue
        cosines = bank.to(voxels.dtype) @ voxels
        logits.append(scale * ((scale * cosines).softmax(dim=0) * cosines).sum(dim=0))
    return torch.stack(logits).reshape(len(banks), *features.shape[1:])
