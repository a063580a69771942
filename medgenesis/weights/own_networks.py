"""Which network of ours a state dict is of, by its keys and shapes alone."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from medgenesis.networks import EncoderClassifier, SparseUNet3D, UNet3D, UNet25D, YNet3D
from medgenesis.weights.layouts.backbones import backbone_of, slices_of
from medgenesis.weights.layouts.layout import StateDict
from medgenesis.weights.network_keys import absent_parts
from medgenesis.weights.report import WeightsReport, compare

_STEM_3D = "encoder.levels.0.0.conv.weight"
_HEADS = {"last": "head.conv.weight", "all": "head.convs.0.weight"}  # by `head_levels`
_STEMS_2D = ("encoder.conv1.weight", "encoder.features.conv0.weight")


@dataclass(frozen=True)
class OwnNetwork:
    """The network that a state dict comes closest to.

    Args:
        name: its class and size, for people.
        settings: that its shapes tell, by the names of the bundles' settings.
        report: how the state dict meets it.
    """

    name: str
    settings: dict[str, int | str]
    report: WeightsReport


def own_network(weights: StateDict, source: str, fresh: Iterable[str] = ()) -> OwnNetwork | None:
    """The `UNet3D` (`YNet3D`, `SparseUNet3D`), `UNet25D`, or classifier on one, of these weights; None: of another.

    Args:
        weights: under our keys.
        source: the file, for messages.
        fresh: keys that the file lacks by intention.
    """
    named = _unet3d(weights) or _unet25d(weights)
    if named is None:
        return None
    name, settings, network = named
    if "head.1.weight" in weights:  # one or two dense layers
        classes, hidden = _outputs(weights, "head.4.weight"), _outputs(weights, "head.1.weight")
        deep = "head.4.weight" in weights
        with torch.device("meta"):
            network = EncoderClassifier(network, classes if deep else hidden, hidden=hidden if deep else None)
        name = f"classifier on the encoder of {name}"
    own = {key: value for key, value in network.state_dict().items() if not key.startswith(absent_parts(weights))}
    lacking = tuple(key for key in own if key in set(fresh) - weights.keys())
    return OwnNetwork(name, settings, compare(weights, own, source=source, layout="medgenesis", fresh=lacking))


def _unet3d(weights: StateDict) -> tuple[str, dict[str, int | str], nn.Module] | None:
    stem = weights.get(_STEM_3D)
    if stem is None or stem.ndim != 5 or 0 in stem.shape:
        return None
    width, channels = stem.shape[:2]
    norm = "batch" if any(key.endswith("running_mean") for key in weights) else "instance"
    options = {"in_channels": channels, "out_channels": _outputs(weights, *_HEADS.values()), "width": width}
    with torch.device("meta"):
        if any(key.startswith("classifier.") for key in weights):
            classes = max(2, _outputs(weights, "classifier.fc.weight"))
            name, network = "YNet3D", YNet3D(**options, num_classes=classes, norm=norm)
        elif any(key.startswith("mask_tokens.") for key in weights):
            name, network = "SparseUNet3D", SparseUNet3D(**options, norm=norm)
        else:
            name, network = "UNet3D", UNet3D(**options, norm=norm, head_levels=_head_levels(weights))
    return (
        f"{name}, width {width}, {channels} channels",
        {"width": width, "in_channels": channels, **_told(weights)},
        network,
    )


def _unet25d(weights: StateDict) -> tuple[str, dict[str, int | str], nn.Module] | None:
    stem = next((weights[key] for key in _STEMS_2D if key in weights), None)
    if stem is None or stem.ndim != 4 or 0 in stem.shape:
        return None
    encoder = {key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")}
    backbone, slices = backbone_of(encoder), slices_of(encoder)
    with torch.device("meta"):
        outputs = _outputs(weights, *_HEADS.values())
        network = UNet25D(backbone, slices, outputs, head_levels=_head_levels(weights))
    return f"UNet25D, {backbone}, {slices} slices", {"backbone": backbone, "slices": slices, **_told(weights)}, network


def _head_levels(weights: StateDict) -> str:
    return "all" if _HEADS["all"] in weights else "last"


def _told(weights: StateDict) -> dict[str, int | str]:
    """Of the head, where it is not the usual one."""
    return {"head_levels": "all"} if _head_levels(weights) == "all" else {}


def _outputs(weights: StateDict, *keys: str) -> int:
    value = next((weights[key] for key in keys if key in weights), None)
    return 1 if value is None or not value.ndim else max(1, value.shape[0])
