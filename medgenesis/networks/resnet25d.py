"""Backbones that look at a slab, neighbouring slices as channels, under the keys of the published 2D networks."""

import re
from collections import OrderedDict

import torch
from monai.networks.nets import DenseNet121, resnet18, resnet34, resnet50, resnet101
from torch import nn

from medgenesis.networks.input_normalisation import normalisation_module

_RESNETS = {"resnet18": resnet18, "resnet34": resnet34, "resnet50": resnet50, "resnet101": resnet101}
# channels of the maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the slab's sides
FEATURE_CHANNELS = {
    "resnet18": (64, 64, 128, 256, 512),
    "resnet34": (64, 64, 128, 256, 512),
    "resnet50": (64, 256, 512, 1024, 2048),
    "resnet101": (64, 256, 512, 1024, 2048),
    "densenet121": (64, 256, 512, 1024, 1024),
}
_GIVE_A_MAP = {  # modules whose output is one of the five maps
    *("act", "layer1", "layer2", "layer3", "layer4"),
    *("relu0", "denseblock1", "denseblock2", "denseblock3", "relu5"),
}
REDUCTION = 32
STEM_CHANNELS = 64  # of the first convolution, as published
_NARROW = re.compile(r"(resnet\d+)_w([1-9]\d*)")


def backbone_width(name: str) -> tuple[str, int]:
    """Of a backbone's name, "resnet18" or "resnet18_w8", the published name and the channels of the first convolution.

    Raises:
        ValueError: there is none of that name.
    """
    narrow = _NARROW.fullmatch(name)
    published, width = (narrow[1], int(narrow[2])) if narrow else (name, STEM_CHANNELS)
    if published not in FEATURE_CHANNELS:
        raise ValueError(
            f"name: must be one of {', '.join(FEATURE_CHANNELS)}, a ResNet also with its width (resnet18_w8); found "
            f"{name!r}. Choose one of them."
        )
    return published, width


def feature_channels(name: str) -> tuple[int, ...]:
    """Channels of the five maps of the backbone of that name."""
    published, width = backbone_width(name)
    return tuple(channels * width // STEM_CHANNELS for channels in FEATURE_CHANNELS[published])


class _DenseLayer(nn.Sequential):
    """A dense layer whose keys lack the ``layers.`` of MONAI's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        new = x
        for step in self:
            new = step(new)
        return torch.cat([x, new], dim=1)


def _densenet_modules(slices: int) -> OrderedDict[str, nn.Module]:
    features = DenseNet121(spatial_dims=2, in_channels=slices, out_channels=1).features
    for name, block in features.named_children():
        if name.startswith("denseblock"):
            for layer_name, layer in list(block.named_children()):
                setattr(block, layer_name, _DenseLayer(OrderedDict(layer.layers.named_children())))
    features.add_module("relu5", nn.ReLU())  # published outside of `features`; it has no keys
    return OrderedDict(features=features)


def _resnet_modules(name: str, slices: int, width: int) -> OrderedDict[str, nn.Module]:
    # MONAI's defaults differ from the published network in stride, shortcuts and their bias, without any error
    published = dict(conv1_t_stride=2, shortcut_type="B", bias_downsample=False, feed_forward=False)
    narrow = {"widen_factor": width / STEM_CHANNELS}
    network = _RESNETS[name](pretrained=False, spatial_dims=2, n_input_channels=slices, **published, **narrow)
    return OrderedDict((key, module) for key, module in network.named_children() if key != "avgpool")


def _beginning_with(first: nn.Module, modules: OrderedDict[str, nn.Module]) -> OrderedDict[str, nn.Module]:
    """The modules that are run, with one before the first of them: within `features`, where those are run."""
    if "features" in modules:
        features = OrderedDict(input_normalisation=first, **dict(modules["features"].named_children()))
        return OrderedDict(features=nn.Sequential(features))
    return OrderedDict(input_normalisation=first, **modules)


class _Maps(nn.Module):
    """Five feature maps by modules run one after the other: those of `features`, where there is such a one, or all."""

    def __init__(self):
        super().__init__()
        self.giving_a_map = list(_GIVE_A_MAP)  # TorchScript sees neither globals nor sets

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The five feature maps of slabs (B, slices, H, W), the stem's (half the sides) to the last (1/32)."""
        if not torch.jit.is_scripting():
            _check(self, x)
        maps: list[torch.Tensor] = []
        if hasattr(self, "features"):
            for name, step in self.features.named_children():
                x = step(x)
                if name in self.giving_a_map:
                    maps.append(x)
        else:
            for name, step in self.named_children():
                x = step(x)
                if name in self.giving_a_map:
                    maps.append(x)
        return maps


class ResNet25D(_Maps):
    """A ResNet or DenseNet without its classifier, on slabs; its state dict is that of torchvision's backbone, key by
    key.

    Called with slabs (B, slices, H, W) it returns pooled features (B, out_channels). ``maps(x)`` are the feature maps
    that they come from; ``feature_channels`` are their channels, ``out_channels`` those of the last.

    Args:
        name: "resnet18", "resnet34", "resnet50", "resnet101" or "densenet121"; "resnet18_w8" has 8 channels in its
            first convolution instead of 64, and all others in proportion.
        slices: neighbouring slices of a slab; a chest X-ray is a slab of equal slices.
        input_normalisation: what is done first to slabs in [0, 1]: "none"; "imagenet", its mean and deviation, as most
            published 2D weights saw their images; "histogram", equalised (`HistogramInput`). It adds no keys.

    Raises:
        ValueError: another name, fewer than 1 slice, another normalisation; on calling it: a slab of other than
            ``slices`` channels, with a side under 32 pixels, or, in training, one that leaves the last feature map one
            value a channel.

    References:
        He et al., Deep residual learning, CVPR 2016 (arXiv 1512.03385); the stride of a bottleneck sits on its 3x3
        convolution, as in torchvision. Huang et al., Densely connected networks, CVPR 2017 (arXiv 1608.06993).

    Notes:
        Narrower than 8 channels, keep `channels_last` off on a CPU: PyTorch 2.13's strided 1x1 convolution of 6
        channels in that order ends the process ("double free or corruption").
    """

    head_names = ()  # nothing of it depends on a task

    def __init__(self, name: str = "resnet50", slices: int = 3, *, input_normalisation: str = "none"):
        super().__init__()
        published, width = backbone_width(name)
        if slices < 1:
            raise ValueError(f"slices: must be at least 1; found {slices}. Give the number of slices of a slab.")
        resnet = published in _RESNETS
        modules = _resnet_modules(published, slices, width) if resnet else _densenet_modules(slices)
        first = normalisation_module(input_normalisation, slices)
        if first is not None:
            modules = _beginning_with(first, modules)
        for key, module in modules.items():
            self.add_module(key, module)
        self.name, self.slices = name, slices
        self.feature_channels = feature_channels(name)
        self.out_channels = self.feature_channels[-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.maps(x)[-1].mean(dim=(2, 3))


class Encoder25D(_Maps):
    """The same backbone, which returns the five feature maps when called; the modules are the backbone's own, under its
    keys.

    Args:
        backbone: the network whose modules these are.
    """

    __jit_unused_properties__ = ("last_stage",)  # TorchScript compiles properties too, and knows no type `nn.Module`

    def __init__(self, backbone: ResNet25D):
        super().__init__()
        self.training = backbone.training  # one of an evaluated backbone is asked for a single small slab, too
        for key, module in backbone.named_children():
            self.add_module(key, module)
        self.slices, self.feature_channels, self.out_channels = (
            backbone.slices,
            backbone.feature_channels,
            backbone.out_channels,
        )

    @property
    def last_stage(self) -> nn.Module:
        """The backbone's own module whose output is the last feature map."""
        return list(getattr(self, "features", self).children())[-1]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return self.maps(x)


def _check(network: _Maps, x: torch.Tensor) -> None:
    if x.ndim != 4 or x.shape[1] != network.slices or min(x.shape[2:]) < REDUCTION:
        raise ValueError(
            f"input: must be slabs (B, {network.slices}, H, W) with sides of {REDUCTION} pixels or more; found "
            f"{tuple(x.shape)}. Cut slabs of {network.slices} slices and of a larger size, or build the network with "
            "other slices."
        )
    if network.training and x.shape[0] == 1 and max(x.shape[2:]) <= REDUCTION:
        raise ValueError(
            "input: batch norm needs more than one value a channel in training; found a batch of 1 with sides "
            f"{tuple(x.shape[2:])}, which leaves the last feature map one value a channel. Give larger slabs or a "
            "batch of at least 2."
        )
