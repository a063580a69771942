"""Checkpoints of nnssl (OpenMind, nnFoundation): the residual encoder of dynamic-network-architectures.

Such a file stores an adaptation plan: the architecture, and the keys of encoder and stem. The same tensors stand in it
under several names; one of each is kept.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from medgenesis.errors import CheckpointError
from medgenesis.weights.layouts.layout import Layout

PLAN = "nnssl_adaptation_plan"
_STEM, _STAGES = "encoder.stem", "encoder.stages"  # of dynamic-network-architectures
_OF_IMAGES = ("patch_size", "spacing", "normalization_schemes")  # of a configuration
_AGAIN = re.compile(r"\.all_modules\.|^decoder\.encoder\.")
_MARKS = (f"{_STEM}.convs.0.conv.weight", f"{_STAGES}.0.blocks.0.conv1.conv.weight")
# blocks and features of its stages, kernel sizes 3, one convolution in the stem
_KNOWN = {"ResEncL": ((1, 3, 4, 6, 6, 6), (32, 64, 128, 256, 320, 320))}


def plan_of(state_dict: Mapping[str, torch.Tensor]) -> Mapping[str, Any]:
    """The adaptation plan that a checkpoint holds beside its weights; {}: none."""
    plan = getattr(state_dict, "beside", {}).get(PLAN)
    return plan if isinstance(plan, Mapping) else {}


def architecture_of(plan: Mapping[str, Any]) -> str:
    """The name of the architecture of a plan, "unknown" where it has none."""
    architecture = plan.get("architecture_plans")
    return str(architecture.get("arch_class_name", "unknown")) if isinstance(architecture, Mapping) else "unknown"


def told_by_plan(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Architecture and patch (voxels) to fine-tune with; patch, spacing (mm) and normalisation of the pre-training, by
    the names of its configurations. Of a file without a plan nothing."""
    plan = plan_of(state_dict)
    if not plan:
        return {}
    trained = plan.get("pretrain_plan")
    configurations = trained.get("configurations") if isinstance(trained, Mapping) else None
    told = {"architecture": architecture_of(plan), "patch_size": _plain(plan.get("recommended_downstream_patchsize"))}
    for name, one in configurations.items() if isinstance(configurations, Mapping) else ():
        if isinstance(one, Mapping):
            told[f"pre-trained by {name}"] = {key: _plain(one[key]) for key in _OF_IMAGES if key in one}
    return told


def _plain(value: Any) -> Any:
    """Numbers and words, and lists of them; of anything else its class."""
    if isinstance(value, (list, tuple, np.ndarray, torch.Tensor)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else type(value).__name__


def is_nnssl(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether a checkpoint holds such a plan, or has the keys of such an encoder and is no fold of nnU-Net."""
    return bool(plan_of(state_dict)) or (all(mark in state_dict for mark in _MARKS) and not is_fold(state_dict))


def is_fold(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether a checkpoint without such a plan is a training of nnU-Net v2: a segmentation, no pre-training."""
    return not plan_of(state_dict) and bool({"init_args", "trainer_name"} & set(getattr(state_dict, "beside", {})))


def _our_key(key: str, plan: Mapping[str, Any]) -> str | None:
    """The key of ``ResidualEncoderUNet``; None: not of the encoder, or the same tensor once more."""
    if _AGAIN.search(key):
        return None
    for part, ours in ((plan.get("key_to_stem"), _STEM), (plan.get("key_to_encoder"), _STAGES)):
        theirs = str(part or ours)
        if key.startswith(f"{theirs}."):
            return ours + key.removeprefix(theirs)
    return None


def nnssl_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder's entries under the keys of ``dynamic_network_architectures``' ``ResidualEncoderUNet``.

    Raises:
        CheckpointError: the architecture is a transformer (Primus), which no network here takes.
    """
    plan = plan_of(state_dict)
    weights = {ours: value for key, value in state_dict.items() if (ours := _our_key(key, plan))}
    if not any(key.startswith(f"{_STAGES}.0.blocks.") for key in weights):
        raise CheckpointError(
            "architecture: must be a residual encoder (ResEncL); found a checkpoint of nnssl with "
            f"{architecture_of(plan)}, whose transformer no network here has. Take the ResEncL of the same method, or "
            "fine-tune it by nnU-Net itself."
        )
    return weights


def outside_of_encoder(state_dict: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The keys that are dropped: the decoder of the pretext task, and names of the same tensors once more."""
    plan = plan_of(state_dict)
    return tuple(key for key in state_dict if _our_key(key, plan) is None)


def whole_encoder(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict, without values, of the residual encoder that these weights are of, or closest to.

    Of an architecture other than ResEncL the numbers of blocks and features are those found.
    """
    blocks, features = _KNOWN["ResEncL"]
    found = _blocks_and_features(weights)
    if len(found[0]) != len(blocks) or found[1] != features:
        blocks, features = found
    stem = weights.get(_MARKS[0])
    kernel = (3, 3, 3) if stem is None else tuple(stem.shape[2:])
    channels = 1 if stem is None else stem.shape[1]
    shapes = _convolution(f"{_STEM}.convs.0", features[0], channels, kernel)
    inside = features[0]
    for stage, (count, out) in enumerate(zip(blocks, features, strict=True)):
        for block in range(count):
            at = f"{_STAGES}.{stage}.blocks.{block}"
            first = weights.get(f"{at}.conv1.conv.weight")
            kernel = (3, 3, 3) if first is None else tuple(first.shape[2:])
            shapes |= _convolution(f"{at}.conv1", out, inside, kernel) | _convolution(f"{at}.conv2", out, out, kernel)
            if inside != out:  # the shortcut; before it pools, without weights
                place = next((i for i in (0, 1) if f"{at}.skip.{i}.conv.weight" in weights), 1)
                shapes |= _convolution(f"{at}.skip.{place}", out, inside, (1, 1, 1), bias=False)
            inside = out
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def _blocks_and_features(weights: Mapping[str, torch.Tensor]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    blocks: dict[int, int] = {}
    features: dict[int, int] = {}
    for key, value in weights.items():
        match = re.fullmatch(rf"{re.escape(_STAGES)}\.(\d+)\.blocks\.(\d+)\.conv1\.conv\.weight", key)
        if match:
            stage = int(match[1])
            blocks[stage] = max(blocks.get(stage, 0), int(match[2]) + 1)
            features[stage] = value.shape[0]
    if not blocks:
        raise CheckpointError(
            f"architecture: must have {_STAGES}.0.blocks.0.conv1.conv.weight under its plan's key_to_encoder; found "
            "none. Give the file as published."
        )
    stages = range(max(blocks) + 1)
    return tuple(blocks.get(stage, 1) for stage in stages), tuple(features.get(stage, 1) for stage in stages)


def _convolution(
    key: str, out: int, inside: int, kernel: tuple[int, ...], bias: bool = True
) -> dict[str, tuple[int, ...]]:
    """A convolution and its affine instance norm."""
    biased = {f"{key}.conv.bias": (out,)} if bias else {}
    return {
        f"{key}.conv.weight": (out, inside, *kernel),
        **biased,
        f"{key}.norm.weight": (out,),
        f"{key}.norm.bias": (out,),
    }


def _settings(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    stem = weights.get(_MARKS[0])
    return {} if stem is None else {"in_channels": stem.shape[1]}


LAYOUT = Layout(
    "nnssl",
    "nnssl",
    "dynamic-network-architectures' ResidualEncoderUNet",
    is_nnssl,
    nnssl_keys,
    outside_of_encoder,
    whole=whole_encoder,
    covers=("encoder.",),
    settings=_settings,
    tells=told_by_plan,
)
