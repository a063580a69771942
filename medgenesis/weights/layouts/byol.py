"""BYOL's published ResNet-50 (``pretrain_res50x1.pkl``): a pickle of JAX and Haiku, onto ``ResNet25D``.

Names are matched, not the order in which the file holds them. Kernels are (height, width, in, out) there.

Notes:
    The published network pads as TensorFlow does ("SAME"): at a stride of 2 by one pixel less before an image than
    after it. PyTorch's and so ours pads alike on both sides, as in all conversions of these weights: features of the
    same image differ a little from those of the published program.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from medgenesis.weights.layouts.backbones import backbone_of, whole_backbone
from medgenesis.weights.layouts.layout import Layout
from medgenesis.weights.tensors_only import StandIn

_STEM = re.compile(r"initial_(conv|batchnorm)(?:/~/(mean|var)_ema)?/(\w+)$")
_BLOCK = re.compile(
    r"block_group_(\d+)/~/block_(\d+)/~/(shortcut_)?(conv|batchnorm)(?:_(\d+))?(?:/~/(mean|var)_ema)?/(\w+)$"
)
_VALUES = {"w": "weight", "scale": "weight", "offset": "bias"}
_STATISTICS = {"mean": "running_mean", "var": "running_var"}


def haiku_arrays(content: Any) -> dict[str, torch.Tensor]:
    """The online network's parameters and running statistics of a BYOL checkpoint, ``module/name`` -> tensor.

    Args:
        content: as ``read_tensors_only`` reads it. The experiment's state holds parameters and statistics of the
            online network, each before those of the target network.

    Returns:
        {} where there are none.
    """
    trees = list(_trees(content))
    online = [next((tree for tree in trees if any(name.endswith(end) for name in tree)), {}) for end in _MARKS]
    return {name: value for tree in online for name, value in tree.items()}


_MARKS = ("initial_conv/w", "initial_batchnorm/~/mean_ema/average")


def _trees(value: Any) -> Iterator[dict[str, torch.Tensor]]:
    """The trees of arrays by module and name, in the order of the file."""
    if isinstance(value, Mapping):
        tree = {
            f"{module}/{name}": torch.from_numpy(np.array(array))
            for module, entries in value.items()
            for name, array in _entries(entries).items()
            if isinstance(array, (np.ndarray, np.generic))
        }
        if tree:
            yield tree
            return
    for part in _parts(value):
        yield from _trees(part)


def _entries(value: Any) -> Mapping[str, Any]:
    """A mapping, or the one that a stand-in of a frozen mapping was built from."""
    while isinstance(value, StandIn):
        value = next((part for part in value.parts() if isinstance(part, (Mapping, StandIn))), {})
    return value if isinstance(value, Mapping) else {}


def _parts(value: Any) -> list[Any]:
    if isinstance(value, StandIn):
        return value.parts()
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else []


def _our_key(key: str) -> str | None:
    """The key of ``ResNet25D``; None: of a head, or a count of an average."""
    if stem := _STEM.search(key):
        layer, average, value = ("conv1" if stem[1] == "conv" else "bn1"), stem[2], stem[3]
    elif block := _BLOCK.search(key):
        group, number, shortcut, kind, i, average, value = block.groups()
        if shortcut:
            name = f"downsample.{0 if kind == 'conv' else 1}"
        else:
            name = f"{'conv' if kind == 'conv' else 'bn'}{int(i or 0) + 1}"
        layer = f"layer{int(group) + 1}.{number}.{name}"
    else:
        return None
    if average:
        return f"{layer}.{_STATISTICS[average]}" if value == "average" else None
    return f"{layer}.{_VALUES[value]}" if value in _VALUES else None


def is_byol(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are Haiku's names of a ResNet's parameters."""
    return any(key.endswith(_MARKS[0]) for key in state_dict)


def byol_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published entries under the keys of ``ResNet25D``; counts of batches, which Haiku has not, are 0.

    Args:
        state_dict: keys ``res_net50/~/block_group_0/~/block_0/~/conv_0/w`` …
    """
    weights: dict[str, torch.Tensor] = {}
    for key, value in state_dict.items():
        ours = _our_key(key)
        if ours is None:
            continue
        is_kernel = value.ndim == 4 and key.endswith("/w")
        # a scale, shift or average is (1, 1, 1, channels) there
        weights[ours] = value.permute(3, 2, 0, 1).contiguous() if is_kernel else value.reshape(-1)
        if ours.endswith("running_var"):
            weights[ours.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    return weights


def heads_of_byol(state_dict: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The keys that are dropped: projector, predictor, classifier, counts of averages."""
    return tuple(key for key in state_dict if _our_key(key) is None)


LAYOUT = Layout(
    "BYOL of JAX",
    "byol",
    "ResNet25D",
    is_byol,
    byol_keys,
    heads_of_byol,
    lambda weights: tuple(key for key in weights if key.endswith("num_batches_tracked")),
    whole_backbone,
    settings=lambda weights: {"backbone": backbone_of(weights)},
)
