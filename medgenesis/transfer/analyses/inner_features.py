"""What a frozen encoder makes of an image at one of its layers, with a gradient to the image."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from medgenesis.networks import bottleneck_features, global_average_pool
from medgenesis.networks.input_normalisation import HistogramInput, ImageNetInput
from medgenesis.transfer.encoder import Encoder

POOLED = "pooled"
_COMPAT_MAP = "features.denseblock4"  # of a DenseNet the study takes it before the last normalisation
_NAMED = 12  # layers, in a message


class InnerFeatures:
    """Batches (B, C, *spatial) in [0, 1] -> the features of one layer, (B, channels, *spatial) or (B, d).

    Args:
        encoder: its network is copied, frozen, in evaluation mode and computes nothing in place.
        layer: None: the last feature map; "pooled": its mean; a number: that map, 1 the shallowest; else the dotted
            name of a module, whose output is taken.
        compat: as the study: without the network's own input normalisation, and of a DenseNet the last map before its
            normalisation.

    Raises:
        ValueError: (on making or calling) no such layer, with the names that there are.
    """

    def __init__(self, encoder: Encoder, layer: str | None = None, *, compat: bool = False) -> None:
        self.name, self.layer, self.device = encoder.name, layer, encoder.device
        self.network: Callable[[Tensor], Any] = encoder.network
        if isinstance(encoder.network, nn.Module):
            self.network = _frozen(encoder.network, compat)
        self._seen: list[Tensor] = []
        modules = dict(self.network.named_modules()) if isinstance(self.network, nn.Module) else {}
        if compat and layer is None and _COMPAT_MAP in modules:
            self.layer = layer = _COMPAT_MAP
        self._hooked = layer is not None and layer != POOLED and not layer.isdecimal()
        if self._hooked:
            if layer not in modules:
                names = [name for name in modules if name and name.count(".") < 2][:_NAMED]
                raise ValueError(
                    f"layer: must be {POOLED}, the number of a map or one of {', '.join(names)} …; found {layer!r} of "
                    f"{self.name}. Choose one of them."
                )
            modules[layer].register_forward_hook(lambda _, given, output: self._seen.append(output))

    def __call__(self, batch: Tensor) -> Tensor:
        self._seen.clear()
        found = self.network(batch)
        if self._hooked:
            if not self._seen or not isinstance(self._seen[-1], Tensor):
                raise ValueError(
                    f"layer: must give one tensor when {self.name} runs; found none of {self.layer!r}. Choose another."
                )
            return self._seen[-1]
        if self.layer == POOLED:
            return global_average_pool(found)
        if self.layer is None:
            return bottleneck_features(found)
        maps = [found] if isinstance(found, Tensor) else list(found)
        if not 1 <= int(self.layer) <= len(maps):
            raise ValueError(
                f"layer: must be 1 to {len(maps)}, the maps of {self.name}; found {self.layer}. Choose one of them."
            )
        return maps[int(self.layer) - 1]


def _frozen(network: nn.Module, compat: bool) -> nn.Module:
    own = copy.deepcopy(network).requires_grad_(False).eval()
    for module in own.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # else what a hook has kept is changed by the next layer
        for name, child in list(module.named_children()):
            if compat and isinstance(child, (ImageNetInput, HistogramInput)):
                setattr(module, name, torch.nn.Identity())
    return own
