"""CAiD's published U-Net, in the layout of segmentation_models_pytorch: onto ``UNet25D``, and back."""

import re
from collections.abc import Mapping

import torch

from medgenesis.networks.resnet25d import FEATURE_CHANNELS, feature_channels
from medgenesis.networks.unet25d import UNet25D
from medgenesis.weights.layouts.backbones import PREFIX, backbone_of, prefix_of, slices_of
from medgenesis.weights.layouts.layout import Layout

_UNET = re.compile(PREFIX + r"decoder\.blocks\.\d\.conv[12]\.[01]\.")
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_RESNETS = tuple(name for name in FEATURE_CHANNELS if name.startswith("resnet"))  # other skips in their DenseNet


def _key_map() -> dict[str, str]:
    """Published key (without prefix) -> key of ``UNet25D``, but for those of the encoder, which are the same."""
    keys = {f"segmentation_head.0.{name}": f"head.conv.{name}" for name in ("weight", "bias")}
    for block in range(5):
        for i in (0, 1):
            published, ours = f"decoder.blocks.{block}.conv{i + 1}", f"decoder.blocks.{block}.convs.conv_{i}"
            keys[f"{published}.0.weight"] = f"{ours}.conv.weight"
            keys |= {f"{published}.1.{name}": f"{ours}.adn.N.{name}" for name in _NORM}
    return keys


_OURS = _key_map()
_PUBLISHED = {ours: published for published, ours in _OURS.items()}
# published convolutions that see [upsampled, skip]; block 4 has no skip
_JOINED = {f"decoder.blocks.{block}.conv1.0.weight": block for block in range(4)}


def is_smp_unet(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are weights of such a U-Net, whole or not, with one known prefix."""
    return prefix_of(state_dict, _UNET) is not None


def foreign_to_smp_unet(state_dict: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The keys that are not of the U-Net and are dropped: the instance head, the key's network, the queue."""
    prefix = prefix_of(state_dict, _UNET)
    return tuple(key for key in state_dict if not key.startswith(prefix))


def smp_unet_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published entries under the keys of ``UNet25D``; those of ``foreign_to_smp_unet`` are left out.

    Args:
        state_dict: keys ``encoder.conv1.weight``, ``decoder.blocks.0.conv1.0.weight``, ``segmentation_head.0.bias`` …
            after one prefix.

    Notes:
        The first convolution of a decoder block gets its input channels turned from [upsampled, skip] to [skip,
        upsampled]; without that the weights fit and the output is wrong. All other values are passed on as they are.
    """
    prefix = prefix_of(state_dict, _UNET)
    published = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
    skips = _skip_channels(published)
    return {
        _OURS.get(key, key): _turned(value, skips[_JOINED[key]]) if key in _JOINED else value
        for key, value in published.items()
    }


def unet25d_to_smp(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a ``UNet25D`` (with a ResNet) under the keys, and in the channel order, of the published U-Net.

    Raises:
        KeyError: a key is not of ``UNet25D``.
        ValueError: its encoder is a DenseNet, which the published U-Net taps at other places.
    """
    if "encoder.conv1.weight" not in state_dict:
        raise ValueError(
            "state_dict: must be that of a UNet25D with a ResNet; found no encoder.conv1.weight. Export "
            "its encoder alone: the keys after `encoder.` are torchvision's."
        )
    skips = _skip_channels(state_dict)
    published = {key if key.startswith("encoder.") else _PUBLISHED[key]: value for key, value in state_dict.items()}
    return published | {key: _turned(published[key], -skips[block]) for key, block in _JOINED.items()}


def whole_smp_unet(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict, without values, of the ``UNet25D`` that these weights are of (under our keys), or closest to."""
    encoder = _encoder(weights)
    outputs = weights["head.conv.weight"].shape[:1] if "head.conv.weight" in weights else (1,)
    with torch.device("meta"):
        return UNet25D(backbone_of(encoder, _RESNETS), slices_of(encoder), *outputs).state_dict()


def _encoder(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")}


def _skip_channels(weights: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
    """Channels of the skip connection of blocks 0 to 3."""
    return feature_channels(backbone_of(_encoder(weights), _RESNETS))[3::-1]


def _turned(weight: torch.Tensor, skip: int) -> torch.Tensor:
    """The last ``skip`` input channels first; a negative number: the first ones last."""
    return weight.roll(skip, dims=1) if weight.ndim == 4 else weight  # of another shape: coverage will tell


LAYOUT = Layout(
    "U-Net of CAiD",
    "caid-unet",
    "UNet25D",
    is_smp_unet,
    smp_unet_keys,
    foreign_to_smp_unet,
    whole=whole_smp_unet,
    settings=lambda weights: {"backbone": backbone_of(_encoder(weights), _RESNETS)},
    publish=unet25d_to_smp,
)
