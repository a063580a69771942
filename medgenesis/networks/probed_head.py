"""A head that begins as a linear classifier of what it sees, where it would begin with random weights."""

from collections.abc import Iterable

import numpy as np
import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from medgenesis.networks.level_head import LevelHead
from medgenesis.networks.voxel_probe import draw_voxels
from medgenesis.networks.ynet3d import YNet3D

_RARE = 5.0  # a class that was not seen begins so far below the rarest: e^-5, and can be learnt
_TOGETHER = 8  # crops of a batch
_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


def begin_head(
    network: nn.Module, crops: Iterable[tuple[Tensor, Tensor]], per_class: int, seed: int = 0
) -> tuple[int, ...]:
    """Let the head of a network be the logistic regression of voxels on its own input, as fine-tuning's first weights.

    Of each crop equally many voxels of each class are drawn, and the intercepts are shifted, so that classes are as
    frequent as in the crops (see `fit_voxel_probe`).

    Args:
        network: `UNet3D` or `UNet25D` of logits, as many as classes; its head is changed in place, nothing else. A
            `SparseUNet3D` is fitted, and is to answer, without a mask, as the `UNet3D` that it then is.
        crops: images (C, *spatial) with label maps (1, *spatial), whole numbers.
        per_class: voxels drawn of a class in a crop, at most.
        seed: of the draw.

    Returns:
        Classes that the crops lack; they begin as rare ones.

    Raises:
        ValueError: the network is another one, `YNet3D` too, which answers a pair; the crops hold fewer than two
            classes, or labels beyond its outputs; their sides are not those of its maps.

    References:
        Kumar et al., Fine-tuning can distort pretrained features and underperform out-of-distribution, ICLR 2022
        (arXiv 2202.10054): linear probing, then fine-tuning.

    Notes:
        The paper fits the last layer of a classifier; here the head of a segmentation is fitted to voxels. A 3x3 head
        (`UNet25D`) begins with its middle alone.
    """
    convolutions = _head_convolutions(network)
    number = convolutions[-1].out_channels
    device = next(network.parameters()).device
    with eval_mode(network):
        sample = draw_voxels(network.head_maps, crops, number, per_class, seed, device, _TOGETHER)
    coefficients, intercepts = sample.linear_classifier(number, alike=False)
    there = sample.counts > 0
    at_mean = coefficients[there] @ sample.features.mean(0) + intercepts[there]
    intercepts[~there] = at_mean.min() - _RARE
    first = 0
    with torch.no_grad():
        for one in convolutions:
            own = coefficients[:, first : first + one.in_channels]
            first += one.in_channels
            middle = tuple(side // 2 for side in one.kernel_size)
            one.weight.zero_()
            one.weight[(slice(None), slice(None), *middle)] = torch.as_tensor(own).to(one.weight)
        convolutions[-1].bias.copy_(torch.as_tensor(intercepts))
    return tuple(map(int, np.flatnonzero(~there)))


def head_classes(network: nn.Module) -> int:
    """Outputs of the head.

    Raises:
        ValueError: as `begin_head`, of the network.
    """
    return _head_convolutions(network)[-1].out_channels


def _head_convolutions(network: nn.Module) -> list[nn.Conv2d | nn.Conv3d]:
    """Those of the head, in the order of the maps that they see."""
    head = getattr(network, "head", None)
    found = list(head.convs) if isinstance(head, LevelHead) else [getattr(head, "conv", None)]
    known = hasattr(network, "head_maps") and not isinstance(network, YNet3D)  # whose answer no label map compares with
    if not known or not all(isinstance(one, _CONVOLUTIONS) for one in found):
        raise ValueError(
            f"probe_first: the network must be a UNet3D or UNet25D; found {type(network).__name__}. Set it to false, "
            "or take one of these."
        )
    return found
