"""VoCo's weights (``VoCo_B_SSL_head.pt``, ``VoComni_B.pt``): onto ``SwinUNETR(use_v2=True)``, its encoder or all."""

import re
from collections.abc import Mapping

import torch

from medgenesis.weights.layouts.layout import Layout
from medgenesis.weights.layouts.swin_unetr import swin_settings
from medgenesis.weights.swin_shapes import decoder_shapes, encoder_shapes, transformer_shapes

_PREFIX = re.compile(r"^(?:module\.)?(?:backbone\.)?")
_PARTS = re.compile(r"(?:swinViT|encoder(?:1|2|3|4|10)|decoder[1-5]|out)\.")
_HEADS = {"student", "teacher"}
_ENCODER = ("swinViT.", *(f"encoder{number}." for number in (1, 2, 3, 4, 10)))
_DECODER = (*(f"decoder{number}." for number in (1, 2, 3, 4, 5)), "out.")


def is_voco(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are VoCo's: the transformer (v2) with the blocks of the encoder, with or without a decoder."""
    keys = [_PREFIX.sub("", key) for key in state_dict]
    others = {key.partition(".")[0] for key in keys if not _PARTS.match(key)}
    begin = [any(key.startswith(part) for key in keys) for part in ("encoder10.", "swinViT.layers1c.")]
    return all(begin) and others <= _HEADS


def heads_of_voco(state_dict: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The keys of the two projection heads, which are dropped."""
    return tuple(key for key in state_dict if not _PARTS.match(_PREFIX.sub("", key)))


def voco_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published entries without prefixes: the keys are those of ``SwinUNETR`` already."""
    dropped = set(heads_of_voco(state_dict))
    return {_PREFIX.sub("", key): value for key, value in state_dict.items() if key not in dropped}


def whole_voco(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict, without values, of the parts of ``SwinUNETR`` that such a file has."""
    settings, outputs = swin_settings(weights), weights.get("out.conv.conv.weight")
    channels, features = settings["in_channels"], settings["feature_size"]
    whole = transformer_shapes(**settings) | encoder_shapes(channels, features)
    if any(key.startswith(_DECODER) for key in weights):
        whole |= decoder_shapes(features, 2 if outputs is None else len(outputs))
    return whole


LAYOUT = Layout(
    "VoCo",
    "voco",
    "MONAI's SwinUNETR with use_v2=True",
    is_voco,
    voco_keys,
    heads_of_voco,
    whole=whole_voco,
    covers=_ENCODER,
    settings=lambda weights: {"in_channels": swin_settings(weights)["in_channels"]},
    tells=lambda state_dict: swin_settings(voco_keys(state_dict)),
)
