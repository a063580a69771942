"""Models Genesis for nnU-Net (``genesis_nnunet_luna16_006.model``): nnU-Net v1's network, onto MONAI's ``DynUNet``.

nnU-Net's convolutions have a bias before an instance norm, which takes it away again: it is dropped, without effect.
Its outputs have none: that of ``DynUNet`` is made, of zeros.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from monai.networks.nets import DynUNet

from medgenesis.weights.layouts.layout import Layout

_MARK = "conv_blocks_context.0.blocks.0.conv.weight"
_BLOCK = re.compile(
    r"conv_blocks_(context|localization)\.(\d+)\.(?:(\d)\.)?blocks\.(\d)\.(conv|instnorm)\.(weight|bias)"
)
_UP, _OUT = re.compile(r"tu\.(\d+)\.weight"), re.compile(r"seg_outputs\.(\d+)\.weight")
_MODULE = "module."


def is_nnunet_v1(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are weights of nnU-Net v1's network, whole or not."""
    return any(key.removeprefix(_MODULE) == _MARK for key in state_dict)


def _levels(keys: Mapping[str, torch.Tensor]) -> int:
    """The number of poolings: the context blocks but for the bottleneck."""
    found = [match for key in keys if (match := _BLOCK.fullmatch(key.removeprefix(_MODULE)))]
    return max(int(match[2]) for match in found if match[1] == "context")


def _our_key(key: str, bottleneck: int) -> str | None:
    """The key of ``DynUNet``; None: without effect, or of the outputs of deep supervision."""
    key = key.removeprefix(_MODULE)
    if up := _UP.fullmatch(key):
        return f"upsamples.{up[1]}.transp_conv.conv.weight"
    if out := _OUT.fullmatch(key):
        return "output_block.conv.conv.weight" if int(out[1]) == bottleneck - 1 else None
    block = _BLOCK.fullmatch(key)
    if block is None or (block[5] == "conv" and block[6] == "bias"):
        return None
    side, level, part, number = block[1], int(block[2]), block[3], int(block[4])
    # two convolutions a level: blocks 0 and 1 of one stack, or block 0 of two stacks
    i = 1 + (number if part is None else int(part))
    if side == "localization":
        where = f"upsamples.{level}.conv_block"
    elif level == bottleneck:
        where = "bottleneck"
    else:
        where = "input_block" if level == 0 else f"downsamples.{level - 1}"
    return f"{where}.conv{i}.conv.weight" if block[5] == "conv" else f"{where}.norm{i}.{block[6]}"


def nnunet_v1_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published entries under the keys of ``DynUNet``, and a bias of zeros for its output."""
    bottleneck = _levels(state_dict)
    weights = {ours: value for key, value in state_dict.items() if (ours := _our_key(key, bottleneck))}
    outputs = weights.get("output_block.conv.conv.weight")
    made = {} if outputs is None else {"output_block.conv.conv.bias": torch.zeros(len(outputs))}
    return weights | made


def without_effect(state_dict: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The keys that are dropped: biases before a normalisation, the outputs of deep supervision."""
    bottleneck = _levels(state_dict)

    def known(key: str) -> bool:
        return any(pattern.fullmatch(key.removeprefix(_MODULE)) for pattern in (_BLOCK, _UP, _OUT))

    return tuple(key for key in state_dict if known(key) and _our_key(key, bottleneck) is None)


def dynunet_settings(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The settings with which ``DynUNet(**settings)`` takes these weights (under its keys), as their shapes tell them.

    Raises:
        KeyError: they are not those of a ``DynUNet``.
    """
    count = sum(key.startswith("upsamples.") and key.endswith("transp_conv.conv.weight") for key in weights)
    pools = [tuple(weights[f"upsamples.{i}.transp_conv.conv.weight"].shape[2:]) for i in reversed(range(count))]
    blocks = ["input_block", *(f"downsamples.{i}" for i in range(count - 1)), "bottleneck"]
    firsts = [weights[f"{block}.conv1.conv.weight"] for block in blocks]
    return {
        "spatial_dims": 3,
        "in_channels": firsts[0].shape[1],
        "out_channels": len(weights["output_block.conv.conv.weight"]),
        "kernel_size": [tuple(first.shape[2:]) for first in firsts],
        "strides": [(1, 1, 1), *pools],
        "upsample_kernel_size": pools,
        "filters": [len(first) for first in firsts],
        "norm_name": ("INSTANCE", {"affine": True}),
        "act_name": ("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
    }


def whole_dynunet(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict, without values, of the ``DynUNet`` that these weights are of; what they lack is in it too."""
    try:
        settings = dynunet_settings(weights)
        with torch.device("meta"):
            whole = DynUNet(**settings).state_dict()
    except (KeyError, ValueError, RuntimeError):  # so much is missing that no network can be built: the published one
        whole = _published()
    return {key: value for key, value in whole.items() if not key.startswith("skip_layers.")}  # the same tensors again


def _published() -> dict[str, torch.Tensor]:
    pools = [[2, 2, 2]] * 4 + [[1, 2, 2]]
    with torch.device("meta"):
        network = DynUNet(
            3,
            1,
            2,
            [[3, 3, 3]] * 6,
            [[1, 1, 1], *pools],
            pools,
            filters=[32, 64, 128, 256, 320, 320],
            norm_name="INSTANCE",
        )
    return network.state_dict()


def _settings(weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    stem = weights.get("input_block.conv1.conv.weight")
    return {} if stem is None else {"in_channels": stem.shape[1]}


def _told(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    try:
        return dynunet_settings(nnunet_v1_keys(state_dict))
    except KeyError:  # parts are missing, which is said elsewhere
        return {}


LAYOUT = Layout(
    "Models Genesis for nnU-Net v1",
    "nnunet-v1",
    "MONAI's DynUNet",
    is_nnunet_v1,
    nnunet_v1_keys,
    without_effect,
    lambda weights: ("output_block.conv.conv.bias",),
    whole_dynunet,
    settings=_settings,
    tells=_told,
)
