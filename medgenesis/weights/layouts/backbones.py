"""Published 2D backbones, under torchvision's keys, which are those of ``ResNet25D``: Adam's, CAiD's (mode id), and the
encoders of the transfer study (MoCo, SwAV, SimCLR, PIRL, supervised ones).
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache

import torch

from medgenesis.networks.resnet25d import FEATURE_CHANNELS, STEM_CHANNELS, ResNet25D
from medgenesis.weights.layouts.layout import Layout

# what training may put before the keys of what is kept: several GPUs, the query's network, the backbone beside its head
PREFIX = r"((?:module\.|model\.)?(?:encoder_q\.)?(?:backbone\.)?)"
_BACKBONE = re.compile(PREFIX + r"(?:layer[1-4]\.\d+\.|features\.denseblock[1-4]\.)")
_HEADS = frozenset({"fc", "classifier", "projection_head", "prototypes"})
# PIRL's of PyContrast: the encoder beside heads, one of them of the jigsaw task. Without that mark "encoder." is a part
# of a network of ours
_PIRL = re.compile(r"(module\.encoder\.)layer[1-4]\.\d+\.")
_PIRL_HEADS = re.compile(r"module\.(?:head|fc|jigsaw)")
_PIRL_MARK = re.compile(r"module\.(?:head_jig|jigsaw)")
_STEMS = ("conv1.weight", "features.conv0.weight")
_OLD_DENSENET = re.compile(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)")


def prefix_of(keys: Iterable[str], pattern: re.Pattern) -> str | None:
    """The one prefix with which keys begin as the pattern's first group says, or None: there are none, or several."""
    found = {match[1] for key in keys if (match := pattern.match(key))}
    return found.pop() if len(found) == 1 else None


def _prefix(keys: Iterable[str]) -> str | None:
    """What stands before the backbone's keys, None: no backbone."""
    keys = tuple(keys)
    if any(_PIRL_MARK.match(key) for key in keys) and all(
        key.startswith("module.encoder.") or _PIRL_HEADS.match(key) for key in keys
    ):
        return prefix_of(keys, _PIRL)
    return prefix_of(keys, _BACKBONE)


def is_backbone(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are weights of a ResNet or DenseNet on images, whole or not, with one known prefix."""
    return _prefix(state_dict) is not None and all(value.ndim < 5 for value in state_dict.values())


def foreign_to_backbone(state_dict: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The keys that are not of the backbone and are dropped: heads, the key's network, the queue."""
    prefix = _prefix(state_dict) or ""
    return tuple(
        key for key in state_dict if not key.startswith(prefix) or key.removeprefix(prefix).partition(".")[0] in _HEADS
    )


def backbone_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published entries under the keys of ``ResNet25D``; the values are passed on as they are.

    Args:
        state_dict: keys ``layer1.0.conv1.weight`` … or ``features.denseblock1.…`` after one prefix; those of
            ``foreign_to_backbone`` are left out. DenseNet's may be of the old form, ``norm.1`` for ``norm1``, and a
            file from before batch norm counted its batches gets counts of 0, as in torch.
    """
    prefix, dropped = _prefix(state_dict) or "", set(foreign_to_backbone(state_dict))
    weights = {
        _OLD_DENSENET.sub(r"\1\2", key.removeprefix(prefix)): value
        for key, value in state_dict.items()
        if key not in dropped
    }
    if not any(key.endswith("num_batches_tracked") for key in weights):
        norms = [key.removesuffix("running_var") for key in weights if key.endswith("running_var")]
        weights |= {f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms}
    return weights


def whole_backbone(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict, without values, of the ``ResNet25D`` that these weights are of, or come closest to."""
    with torch.device("meta"):
        return ResNet25D(backbone_of(weights), slices_of(weights)).state_dict()


def backbone_of(weights: Mapping[str, torch.Tensor], names: Iterable[str] = FEATURE_CHANNELS) -> str:
    """The name of the ``ResNet25D`` that these weights are of: the nearest by its keys, a narrow one by its stem."""
    name, stem = nearest_backbone(weights, names), weights.get("conv1.weight")
    narrow = stem is not None and stem.ndim == 4 and 0 < stem.shape[0] < STEM_CHANNELS and name.startswith("resnet")
    return f"{name}_w{stem.shape[0]}" if narrow else name


def nearest_backbone(keys: Iterable[str], names: Iterable[str] = FEATURE_CHANNELS) -> str:
    """The name of the ``ResNet25D`` whose keys differ least from these."""
    keys = set(keys)
    return min(names, key=lambda name: len(keys ^ _keys_of(name)))


@cache
def _keys_of(name: str) -> frozenset[str]:
    with torch.device("meta"):
        return frozenset(ResNet25D(name).state_dict())


def slices_of(weights: Mapping[str, torch.Tensor]) -> int:
    """The input channels of a backbone, by its first convolution; 3 where there is none."""
    stem = next((weights[key] for key in _STEMS if key in weights), None)
    return 3 if stem is None or stem.ndim < 2 else max(1, stem.shape[1])


def onto_encoder(
    weights: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """A backbone's weights for a network whose encoder it is (``UNet25D``), and the other way round.

    Args:
        weights: of the file, under our keys.
        own: of the network.

    Returns:
        The weights under the keys of the network, and the keys that are dropped: decoder and head, where the network is
        a backbone alone. As they were, where both are backbones or neither is.
    """
    from_encoder, to_encoder = (any(key.startswith("encoder.") for key in side) for side in (weights, own))
    from_backbone, to_backbone = (any(stem in side for stem in _STEMS) for side in (weights, own))
    if from_backbone and to_encoder and not (from_encoder or to_backbone):
        return {f"encoder.{key}": value for key, value in weights.items()}, ()
    if from_encoder and to_backbone and not (from_backbone or to_encoder):
        others = tuple(key for key in weights if not key.startswith("encoder."))
        return {key.removeprefix("encoder."): weights[key] for key in weights if key not in others}, others
    return dict(weights), ()


LAYOUT = Layout(
    "2D backbone under torchvision's keys",
    "backbone",
    "ResNet25D, or the encoder of UNet25D",
    is_backbone,
    backbone_keys,
    foreign_to_backbone,
    whole=whole_backbone,
    settings=lambda weights: {"backbone": backbone_of(weights)},
    publish=dict,
)
