"""Batch norm by the statistics of each image, as the transfer study's networks had them in its saliency maps."""

import copy
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from medgenesis.transfer.encoder import Encoder


class ImageNorm(nn.Module):
    """A batch norm in training mode that sees one image at a time, of batches of any size: (B, C, *spatial), alike.

    Args:
        norm: whose weights are taken.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 3:
            raise ValueError(
                f"x: must be feature maps (B, C, *spatial), to have statistics of an image; found {tuple(x.shape)}. "
                "Leave --compat out."
            )
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


def by_image_statistics(encoder: Encoder) -> Encoder:
    """The encoder with a copy of its network whose batch norms take the statistics of each image.

    Raises:
        ValueError: it is no network of PyTorch.
    """
    if not isinstance(encoder.network, nn.Module):
        raise ValueError(
            f"{encoder.name}: must be a network of PyTorch for --compat, which changes its batch norms; found a "
            "function. Leave one of them out."
        )
    network = copy.deepcopy(encoder.network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(module, name, ImageNorm(child))
    return replace(encoder, network=network)
