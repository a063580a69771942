"""Where a network's encoder and head are, so that transfer is the same for every network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from monai.networks.nets import DynUNet, SegResNet, SwinUNETR
from torch import nn


@dataclass(frozen=True)
class NetworkParts:
    """Two parts of a network; nothing is copied, the modules are the network's own.

    Args:
        encoder: called with a volume (B, C, X, Y, Z) it returns the feature maps, from shallow to deep.
        head: dotted name of the last module, the one whose shapes depend on the number of outputs.
        feature_channels: channels of the deepest map; None where the network does not say.
    """

    encoder: nn.Module
    head: str
    feature_channels: int | None


class DynUNetEncoder(nn.Module):
    """The contracting path of MONAI's DynUNet, under the network's own keys."""

    def __init__(self, network: DynUNet):
        super().__init__()
        self.input_block, self.downsamples = network.input_block, network.downsamples
        self.bottleneck = network.bottleneck
        self.out_channels = network.filters[-1]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        features = []
        for block in (self.input_block, *self.downsamples, self.bottleneck):
            x = block(x)
            features.append(x)
        return features


class SegResNetEncoder(nn.Module):
    """The contracting path of MONAI's SegResNet, under the network's own keys."""

    def __init__(self, network: SegResNet):
        super().__init__()
        self.convInit, self.down_layers = network.convInit, network.down_layers
        self.dropout = nn.Identity() if network.dropout_prob is None else network.dropout
        self.out_channels = network.init_filters * 2 ** (len(network.down_layers) - 1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.dropout(self.convInit(x))
        features = []
        for down in self.down_layers:
            x = down(x)
            features.append(x)
        return features


class SwinUNETREncoder(nn.Module):
    """The transformer of MONAI's SwinUNETR and the blocks on its maps, under the network's own keys."""

    def __init__(self, network: SwinUNETR):
        super().__init__()
        self.normalize = network.normalize
        self.swinViT = network.swinViT
        self.encoder1, self.encoder2, self.encoder3 = network.encoder1, network.encoder2, network.encoder3
        self.encoder4, self.encoder10 = network.encoder4, network.encoder10
        self.out_channels = 16 * network.swinViT.embed_dim

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = self.swinViT(x, self.normalize)
        blocks = (self.encoder2, self.encoder3, self.encoder4)
        shallow = [block(feature) for block, feature in zip(blocks, maps[:3], strict=True)]
        return [self.encoder1(x), *shallow, maps[3], self.encoder10(maps[4])]


# MONAI networks that keep no module `encoder`: how to gather it, and the name of their head
_KNOWN: dict[type[nn.Module], tuple[Callable[..., nn.Module], str]] = {
    DynUNet: (DynUNetEncoder, "output_block"),
    SegResNet: (SegResNetEncoder, "conv_final.2"),
    SwinUNETR: (SwinUNETREncoder, "out"),
}


def network_parts(network: nn.Module, *, encoder: str | None = None, head: str | None = None) -> NetworkParts:
    """Find the encoder and the head of a network.

    Known are ``UNet3D`` (and any network with modules ``encoder`` and ``head``) and MONAI's DynUNet, SegResNet and
    SwinUNETR; of another network the two names must be given.

    Args:
        network: the encoder-decoder.
        encoder: dotted name of the module that turns a volume into feature maps (a tensor, or a list from shallow to
            deep).
        head: dotted name of the module whose shapes depend on the number of outputs.

    Raises:
        ValueError: the network does not say where they are, or has no module of the given name, or has deep
            supervision on.
    """
    if getattr(network, "deep_supervision", False):
        raise ValueError(
            f"network: must have one output; found {type(network).__name__} with deep_supervision=True. "
            "Set it to False."
        )
    for kind, (gather, name) in _KNOWN.items():
        if isinstance(network, kind) and encoder is None:
            found = gather(network)
            return NetworkParts(found, _existing(network, head or name), found.out_channels)
    found = network.get_submodule(_existing(network, encoder or "encoder"))
    return NetworkParts(found, _existing(network, head or "head"), getattr(found, "out_channels", None))


def _existing(network: nn.Module, name: str) -> str:
    try:
        network.get_submodule(name)
    except AttributeError as error:
        children = ", ".join(child for child, _ in network.named_children())
        raise ValueError(
            f"network: {type(network).__name__} has no module {name!r}; it has {children}. Name its parts: "
            'encoder="…", head="…" (dotted names).'
        ) from error
    return name
