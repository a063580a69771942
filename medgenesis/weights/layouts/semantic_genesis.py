"""The published Semantic Genesis and TransVW layout: that of Models Genesis and a class head, onto ``YNet3D``."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from medgenesis.networks.ynet3d import YNet3D
from medgenesis.weights.layouts.layout import Layout, renamed
from medgenesis.weights.layouts.models_genesis import (
    MODELS_GENESIS_KEYS,
    is_models_genesis,
    refuse_lacking,
    settings_of_genesis,
)

_PREFIXES = re.compile(r"^(module\.|classficationNet\.)+")  # several GPUs; a wrapper, spelled so
_FOREIGN = ("projection_head", "prototypes")  # heads of other pretext tasks
_CLASSIFIER = {"conv1": "conv", "bn1": "norm", "fc1": "fc"}


def _key_map() -> dict[str, str]:
    """Published key (without prefixes) -> key of ``YNet3D``."""
    values = ("weight", "bias")
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    keys = dict(MODELS_GENESIS_KEYS)
    for published, ours in _CLASSIFIER.items():
        names = values + statistics if ours == "norm" else values
        keys |= {f"clc_out.{published}.{name}": f"classifier.{ours}.{name}" for name in names}
    return keys


_KEYS = _key_map()


def is_semantic_genesis(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether some of the keys are those of the published network, whole or encoder-only, and not of Models Genesis
    alone; the comparison names what is unknown or missing."""
    keys = {_PREFIXES.sub("", key) for key in state_dict}
    return not keys.isdisjoint(_KEYS) and not is_models_genesis(state_dict)


def foreign_heads(state_dict: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The keys of heads that ``YNet3D`` has not, which published files may hold: they are dropped."""
    return tuple(key for key in state_dict if _PREFIXES.sub("", key).startswith(_FOREIGN))


def semantic_genesis_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published entries under the keys of ``YNet3D``; the values are passed on as they are, and so is an entry of
    another key, without these prefixes.

    Args:
        state_dict: keys ``down_tr64.ops.0.conv1.weight`` …, ``clc_out.fc1.bias``, each with or without ``module.`` and
            ``classficationNet.`` before it; those of ``foreign_heads`` are left out.

    Raises:
        CheckpointError: two keys become one.
    """
    dropped = foreign_heads(state_dict)
    left = {key: value for key, value in state_dict.items() if key not in dropped}

    def ours(key: str) -> str:
        bare = _PREFIXES.sub("", key)
        return _KEYS.get(bare, bare)

    return renamed(left, ours)


def ynet3d_settings(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The settings with which ``YNet3D(**settings)`` takes these weights (under our keys), as their shapes tell them.

    Raises:
        KeyError: they are not those of a ``YNet3D``.
    """
    width, in_channels = weights["encoder.levels.0.0.conv.weight"].shape[:2]
    settings = {"in_channels": in_channels, "width": width, "num_classes": len(weights["classifier.fc.weight"])}
    if "head.conv.weight" not in weights:
        return {**settings, "decoder": False}
    return {**settings, "out_channels": len(weights["head.conv.weight"])}


def semantic_shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict, without values, of the ``YNet3D`` that these weights are of, or closest to; without
    decoder, head or classifier where they have nothing of it.
    """
    stem, last, classes = (
        weights.get(f"{key}.weight") for key in ("encoder.levels.0.0.conv", "head.conv", "classifier.fc")
    )
    width, channels = (32, 1) if stem is None or stem.ndim != 5 else stem.shape[:2]
    parts = {"encoder", *(key.partition(".")[0] for key in weights)}
    with torch.device("meta"):
        whole = YNet3D(
            channels,
            1 if last is None else len(last),
            width,
            num_classes=44 if classes is None else len(classes),
        ).state_dict()
    return {key: value for key, value in whole.items() if key.partition(".")[0] in parts}


_PUBLISHED = {ours: published for published, ours in _KEYS.items()}
_RESTORES = ("decoder.", "head.")


def semantic_genesis_file(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The content of a published file, of the weights of a ``YNet3D``; the optimiser's entry is left out.

    Raises:
        KeyError: a key is not of ``YNet3D``, or lacks; the variant "en" has no decoder and no head.
    """
    decodes = any(key.startswith(_RESTORES) for key in weights)
    refuse_lacking((key for key in _PUBLISHED if decodes or not key.startswith(_RESTORES)), weights)
    return {"epoch": 0, "state_dict": {_PUBLISHED[key]: value for key, value in weights.items()}}


LAYOUT = Layout(
    "Semantic Genesis",
    "semantic-genesis",
    "YNet3D",
    is_semantic_genesis,
    semantic_genesis_keys,
    foreign_heads,
    shapes=semantic_shapes,
    settings=settings_of_genesis,
    publish=semantic_genesis_file,
)
