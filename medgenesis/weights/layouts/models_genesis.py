"""The published Models Genesis layout (``Genesis_Chest_CT.pt``): its keys, one to one onto those of ``UNet3D``."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from medgenesis.networks.unet3d import UNet3D
from medgenesis.weights.layouts.layout import Layout, renamed, without_wrappers

_CONV = ("weight", "bias")
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _key_map() -> dict[str, str]:
    """Published key (without ``module.``) -> key of ``UNet3D``."""
    blocks = {}
    for level, channels in enumerate((64, 128, 256, 512)):
        blocks[f"down_tr{channels}.ops"] = f"encoder.levels.{level}"
    for level, channels in enumerate((256, 128, 64)):
        blocks[f"up_tr{channels}.ops"] = f"decoder.levels.{level}.convs"
    keys = {}
    for published, ours in blocks.items():
        for i in (0, 1):
            keys |= {f"{published}.{i}.conv1.{name}": f"{ours}.{i}.conv.{name}" for name in _CONV}
            keys |= {f"{published}.{i}.bn1.{name}": f"{ours}.{i}.norm.{name}" for name in _NORM}
    for level, channels in enumerate((256, 128, 64)):
        keys |= {f"up_tr{channels}.up_conv.{name}": f"decoder.levels.{level}.up.{name}" for name in _CONV}
    return keys | {f"out_tr.final_conv.{name}": f"head.conv.{name}" for name in _CONV}


MODELS_GENESIS_KEYS = _key_map()


_OTHER_PARTS = ("clc_out.", "projection_head", "prototypes")  # of Semantic Genesis, which has all of these keys too


def strip_module(state_dict: Mapping[str, torch.Tensor], source: str = "") -> dict[str, torch.Tensor]:
    """The same entries without ``module.`` and the like before their keys (`without_wrappers`).

    Raises:
        CheckpointError: a key is there with and without.
    """
    return renamed(state_dict, without_wrappers, source)


def is_models_genesis(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether some of the keys are those of the published Models Genesis network, and none of a part that Semantic
    Genesis has besides; the comparison names what is unknown or missing."""
    keys = {without_wrappers(key) for key in state_dict}
    return not keys.isdisjoint(MODELS_GENESIS_KEYS) and not any(key.startswith(_OTHER_PARTS) for key in keys)


def models_genesis_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published entries under the keys of ``UNet3D``; the values are passed on as they are, and so is an entry of
    another key, without ``module.``.

    Args:
        state_dict: keys ``down_tr64.ops.0.conv1.weight`` …, each with or without ``module.`` before it.

    Raises:
        CheckpointError: two keys become one.
    """

    def ours(key: str) -> str:
        return MODELS_GENESIS_KEYS.get(without_wrappers(key), without_wrappers(key))

    return renamed(state_dict, ours)


def settings_of_genesis(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What is known of the training of the published 3D networks, of their weights under our keys."""
    stem = weights.get("encoder.levels.0.0.conv.weight")
    shape = {} if stem is None else {"width": stem.shape[0], "in_channels": stem.shape[1]}
    return {"intensity": "ct", **shape, "norm": "batch_always"}


def refuse_lacking(wanted: Iterable[str], weights: Mapping[str, torch.Tensor]) -> None:
    """Raise KeyError if weights lack one of the keys wanted."""
    lacking = next((key for key in wanted if key not in weights), None)
    if lacking is not None:
        raise KeyError(
            f"weights: must have every key of the published network; found no {lacking}. Give those of its own network."
        )


def genesis_shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict, without values, of the ``UNet3D`` that these weights are of, or closest to; without
    decoder or head where they have nothing of it.
    """
    stem, last = weights.get("encoder.levels.0.0.conv.weight"), weights.get("head.conv.weight")
    width, channels = (32, 1) if stem is None or stem.ndim != 5 else stem.shape[:2]
    with torch.device("meta"):
        whole = UNet3D(max(channels, 1), 1 if last is None else max(len(last), 1), max(width, 1)).state_dict()
    parts = {"encoder", *(key.partition(".")[0] for key in weights)}
    return {key: value for key, value in whole.items() if key.partition(".")[0] in parts}


_PUBLISHED = {ours: published for published, ours in MODELS_GENESIS_KEYS.items()}


def models_genesis_file(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The content of a published file, of the weights of a ``UNet3D``; the optimiser's entry is left out.

    Raises:
        KeyError: a key is not of ``UNet3D``, or lacks: those of a network with instance norm, for example.
    """
    refuse_lacking(_PUBLISHED, weights)
    return {"epoch": 0, "state_dict": {f"module.{_PUBLISHED[key]}": value for key, value in weights.items()}}


LAYOUT = Layout(
    "Models Genesis",
    "models-genesis",
    "UNet3D",
    is_models_genesis,
    models_genesis_keys,
    shapes=genesis_shapes,
    settings=settings_of_genesis,
    publish=models_genesis_file,
)
