"""MONAI's self-supervised Swin transformer (``model_swinvit.pt``): onto the encoder of ``SwinUNETR``."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from medgenesis.weights.layouts.layout import Layout
from medgenesis.weights.swin_shapes import transformer_shapes

# several GPUs; the transformer as a part of the network it was trained in, by either of its names
_PREFIX = re.compile(r"^(?:module\.)?(?:swin_vit\.|swinViT\.)?")
_OF_TRANSFORMER = re.compile(r"(?:patch_embed|layers[1-4]c?)\.")
# heads of the pretext tasks (rotation, contrast, restoration), and the last normalisation, which SwinUNETR has not
_HEADS = {"norm", "rotation_pre", "rotation_head", "contrastive_pre", "contrastive_head", "conv"}


def _bare(key: str) -> str:
    return _PREFIX.sub("", key)


def is_swin_vit(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are weights of MONAI's Swin transformer of volumes, and heads of its pretext tasks at most."""
    keys = [_bare(key) for key in state_dict]
    mine = [key for key in keys if _OF_TRANSFORMER.match(key)]
    stem = next((value for key, value in state_dict.items() if _bare(key) == "patch_embed.proj.weight"), None)
    others = {key.partition(".")[0] for key in keys if key not in mine}
    return stem is not None and stem.ndim == 5 and len(mine) > 2 and others <= _HEADS


def heads_of_swin_vit(state_dict: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The keys that are dropped: of the pretext tasks, and the last normalisation."""
    return tuple(key for key in state_dict if not _OF_TRANSFORMER.match(_bare(key)))


def swin_vit_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published entries under the keys of ``SwinUNETR``: ``swinViT.``, and MONAI's later names of the two layers.

    Args:
        state_dict: keys ``module.layers1.0.blocks.0.mlp.fc1.weight`` …
    """
    dropped = set(heads_of_swin_vit(state_dict))
    renamed = {key: _bare(key).replace(".mlp.fc", ".mlp.linear") for key in state_dict if key not in dropped}
    return {f"swinViT.{ours}": state_dict[key] for key, ours in renamed.items()}


def swin_settings(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Of ``SwinUNETR(**settings)`` what the shapes of a transformer's weights (under its keys) tell, with those of
    MONAI where they do not.
    """
    stem = weights.get("swinViT.patch_embed.proj.weight")
    features, channels = (48, 1) if stem is None else stem.shape[:2]
    heads, depths = [], []
    for layer in (1, 2, 3, 4):
        tables = [
            key for key in weights if key.startswith(f"swinViT.layers{layer}.0.blocks.") and key.endswith("_table")
        ]
        heads.append(weights[tables[0]].shape[-1] if tables else 3 * 2 ** (layer - 1))
        depths.append(max(2, len(tables)))
    v2 = any(key.startswith("swinViT.layers1c.") for key in weights)
    return {"in_channels": channels, "feature_size": features, "depths": depths, "num_heads": heads, "use_v2": v2}


def whole_swin_vit(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict, without values, of the transformer that these weights are of, or closest to."""
    return transformer_shapes(**swin_settings(weights))


LAYOUT = Layout(
    "Swin transformer of MONAI",
    "swin-vit",
    "MONAI's SwinUNETR",
    is_swin_vit,
    swin_vit_keys,
    heads_of_swin_vit,
    whole=whole_swin_vit,
    covers=("swinViT.",),
    settings=lambda weights: {"in_channels": swin_settings(weights)["in_channels"]},
    tells=lambda state_dict: swin_settings(swin_vit_keys(state_dict)),
)
