"""Where a network's encoder and head are, so that transfer is the same for every network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from monai.networks.nets import DynUNet, SegResNet, SwinUNETR
from torch import nn

from medgenesis.networks.resnet25d import Encoder25D, ResNet25D


class DynUNetEncoder(nn.Module):
    """The contracting path of MONAI's DynUNet, under the network's own keys."""

    def __init__(self, network: DynUNet):
        super().__init__()
        self.input_block, self.downsamples = network.input_block, network.downsamples
        self.bottleneck = network.bottleneck
        self.out_channels = network.filters[-1]

    @property
    def last_stage(self) -> nn.Module:
        """The network's own module whose output is the last feature map."""
        return self.bottleneck

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

    @property
    def last_stage(self) -> nn.Module:
        """The network's own module whose output is the last feature map."""
        return self.down_layers[-1]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.dropout(self.convInit(x))
        features = []
        for down in self.down_layers:
            x = down(x)
            features.append(x)
        return features


class SwinUNETREncoder(nn.Module):
    """The transformer of MONAI's SwinUNETR and the block on its last feature map, under the network's own keys.

    Notes:
        The blocks ``encoder1`` … ``encoder4`` shape the skip connections alone. They count to the decoder: the last
        feature map does not pass them, and distributed training stops at parameters that the loss does not reach.
    """

    def __init__(self, network: SwinUNETR):
        super().__init__()
        self.swinViT, self.encoder10 = network.swinViT, network.encoder10
        self.normalize = network.normalize
        self.out_channels = 16 * network.swinViT.embed_dim

    @property
    def last_stage(self) -> nn.Module:
        """The network's own module whose output is the last feature map."""
        return self.encoder10

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        *shallow, bottleneck = self.swinViT(x, self.normalize)
        return [*shallow, self.encoder10(bottleneck)]


# networks that keep no module `encoder`: how to gather it, and the name of their head
_KNOWN: dict[type[nn.Module], tuple[Callable[..., nn.Module], str | None]] = {
    DynUNet: (DynUNetEncoder, "output_block"),
    ResNet25D: (Encoder25D, None),
    SegResNet: (SegResNetEncoder, "conv_final.2"),
    SwinUNETR: (SwinUNETREncoder, "out"),
}

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class NetworkParts:
    """The parts of one network, each looked up when asked for; nothing is copied, the modules are the network's own.

    Args:
        network: the encoder-decoder.
        encoder_name: dotted name of its encoder, or None for what is known of the network.
        head_name: dotted name of its head, or None for what is known of the network.

    Raises:
        ValueError: on asking for a part: the network does not say where it is, or has no module of that name.
    """

    network: nn.Module
    encoder_name: str | None = None
    head_name: str | None = None

    @cached_property
    def encoder(self) -> nn.Module:
        """Called with a volume it returns the feature maps, from shallow to deep; that of a network not known here may
        return the last one alone (see ``bottleneck_features``). ``out_channels`` (of the known ones) are the
        last one's."""
        gather, _ = _known(self.network)
        if gather and self.encoder_name is None:
            return gather(self.network)
        return _submodule(self.network, "encoder", self.encoder_name)

    @cached_property
    def encoder_names(self) -> tuple[str, ...]:
        """Dotted names of the network's modules that are the encoder, and so what its keys begin with: of the encoder
        itself, by all its names, or, where that is gathered here, of the modules that it holds."""
        named = list(self.network.named_modules(remove_duplicate=False))
        held = {id(self.encoder)}
        if not any(id(module) in held for _, module in named):
            held = {id(module) for module in self.encoder.modules()}
        return tuple(name for name, module in named if id(module) in held)

    @cached_property
    def head(self) -> str:
        """Dotted name of the last module, whose shapes depend on the number of outputs."""
        kind = type(self.network).__name__
        if getattr(self.network, "deep_supervision", False):
            raise ValueError(f"network: must have one head; found {kind} with deep_supervision=True. Set it to False.")
        name = self.head_name or _known(self.network)[1]
        _submodule(self.network, "head", name)
        return name or "head"

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """Dotted names of all heads: the one, or those that the network itself lists in ``head_names``, two of `YNet3D`
        and none of `ResNet25D`."""
        listed = getattr(self.network, "head_names", None)
        return (self.head,) if listed is None or self.head_name is not None else listed

    @property
    def last_stage(self) -> nn.Module:
        """The module of the network that gives the last feature map, alone or last of several, whenever the network
        runs.

        It is the encoder, or, where that is gathered here and not a module of the network, a stage of it.
        """
        return getattr(self.encoder, "last_stage", self.encoder)


def network_parts(network: nn.Module, *, encoder: str | None = None, head: str | None = None) -> NetworkParts:
    """Where the encoder and the head of a network are.

    Known are ``UNet3D`` and ``UNet25D`` (any network with modules ``encoder`` and ``head``), ``ResNet25D``, which is an
    encoder alone, and MONAI's DynUNet, SegResNet and SwinUNETR. Of another network say it, by dotted names:
    ``network_parts(net, encoder="vit", head="out")``; or let it have properties ``encoder`` and ``head`` that
    return its modules, which serves every function that asks here.
    """
    return NetworkParts(network, encoder, head)


def bottleneck_features(features: torch.Tensor | list[torch.Tensor]) -> torch.Tensor:
    """Of what an encoder returns, the last feature map (B, channels, *spatial): the last of several, or the one."""
    return features if isinstance(features, torch.Tensor) else features[-1]


def global_average_pool(features: torch.Tensor | list[torch.Tensor]) -> torch.Tensor:
    """Of what an encoder returns, one vector an image (B, channels): the mean over the last feature map, or what the
    encoder has pooled already."""
    bottleneck = bottleneck_features(features)
    return bottleneck.flatten(2).mean(dim=2) if bottleneck.ndim > 2 else bottleneck


def _known(network: nn.Module) -> tuple[Callable[..., nn.Module] | None, str | None]:
    return next((parts for kind, parts in _KNOWN.items() if isinstance(network, kind)), (None, None))


def _submodule(network: nn.Module, part: str, name: str | None) -> nn.Module:
    try:
        return network.get_submodule(name or part)
    except AttributeError as error:
        children = ", ".join(child for child, _ in network.named_children())
        likely = _likely(network, part)
        given = f"Give {part}={likely!r}, for instance, where that is an argument" if likely else f"Give {part}=NAME"
        typed = f" (of a bundle's task: --network#head {likely or 'NAME'})" if part == "head" else ""
        raise ValueError(
            f"{part}: must be the dotted name of a module of {type(network).__name__}; found no {name or part!r} among "
            f"{children}. {given}{typed}; elsewhere let the network have a property `{part}` that returns the module."
        ) from error


def _likely(network: nn.Module, part: str) -> str | None:
    """The child that most networks have as their encoder, the first, or as their head, the last with a convolution;
    None where there is one child alone, which would be the whole network."""
    children = list(network.named_children())
    if len(children) < 2:
        return None
    if part != "head":
        return children[0][0]
    convolves = [name for name, child in children if any(isinstance(one, _CONVOLUTIONS) for one in child.modules())]
    return convolves[-1] if convolves else None
