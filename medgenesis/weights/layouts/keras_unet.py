"""The published Keras U-Net (``Genesis_Chest_CT.h5``, Semantic Genesis' auto-encoder): onto ``UNet3D``, exactly.

It is another network: it enlarges by repeating voxels and divides by the root of the variance + 0.001. Both fit into
the weights of ``UNet3D``: the transposed convolution that repeats voxels is the identity over channels, and the
difference of the two epsilons is added to the running variances.
"""

import re
from collections.abc import Mapping

import torch

from medgenesis.errors import CheckpointError
from medgenesis.networks.unet3d import LEVELS, UNet3D
from medgenesis.weights.layouts.layout import Layout
from medgenesis.weights.layouts.models_genesis import settings_of_genesis

_LAYER = re.compile(r"depth_(\d+)_(conv|bn)/(\w+)")
_HEAD = re.compile(r"conv3d(?:_\d+)?/(kernel|bias)")
_NOT_OF_THE_NETWORK = ("optimizer_weights/", "training/")
_CONV = {"kernel": "weight", "bias": "bias"}
_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_KERAS_EPSILON, _TORCH_EPSILON = 1e-3, 1e-5


def _our_key(key: str) -> str | None:
    """The key of ``UNet3D``, without its last part, and that part; None: not of the network."""
    if head := _HEAD.fullmatch(key):
        return f"head.conv.{_CONV[head[1]]}"
    layer = _LAYER.fullmatch(key)
    if layer is None:
        return None
    number, kind, value = int(layer[1]), layer[2], layer[3]
    level, i = divmod(number, 2)
    if level < LEVELS:
        block = f"encoder.levels.{level}.{i}"
    elif level < 2 * LEVELS - 1:
        block = f"decoder.levels.{level - LEVELS}.convs.{i}"
    else:
        return None
    name = (_CONV if kind == "conv" else _NORM).get(value)
    return None if name is None else f"{block}.{'conv' if kind == 'conv' else 'norm'}.{name}"


def is_keras_unet(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Whether the first key of this network (``layer/value``, as ``read_h5`` gives them) is there; the comparison names
    what is unknown or missing."""
    return "depth_0_conv/kernel" in state_dict


def beside_keras_unet(state_dict: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The keys that are not of the network and are dropped: the state of the optimiser."""
    return tuple(key for key in state_dict if key.startswith(_NOT_OF_THE_NETWORK))


def keras_unet_keys(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published entries under the keys of ``UNet3D``, with the weights that its own layers need in addition; an
    entry of another key is passed on as it is.

    Args:
        state_dict: keys ``depth_0_conv/kernel`` (k, k, k, in, out), ``depth_0_bn/gamma`` …, ``conv3d_1/bias``.
    """
    dropped = set(beside_keras_unet(state_dict))
    heads = {key.partition("/")[0] for key in state_dict if _HEAD.fullmatch(key)}
    if len(heads) > 1:
        raise CheckpointError(
            f"last layer: must be one; found {', '.join(sorted(heads))}. Give a file with one head, the published one."
        )
    weights: dict[str, torch.Tensor] = {}
    for key, value in state_dict.items():
        if key in dropped:
            continue
        ours = _our_key(key)
        if ours is None:
            weights[key] = value
            continue
        if value.ndim == 5:
            value = value.permute(4, 3, 0, 1, 2).contiguous()
        elif ours.endswith("running_var"):
            value = value + (_KERAS_EPSILON - _TORCH_EPSILON)
        weights[ours] = value
        if ours.endswith("running_var"):
            weights[ours.replace("running_var", "num_batches_tracked")] = torch.tensor(0)
    return weights | _repeating(weights)


def made_for_keras_unet(weights: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """The keys that are made: the transposed convolutions, which repeat voxels here, and counts of batches."""
    return tuple(key for key in weights if ".up." in key or key.endswith("num_batches_tracked"))


def _repeating(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Transposed convolutions that repeat each voxel, of as many channels as the map below each level has."""
    made = {}
    for level in range(LEVELS - 1):
        below = f"encoder.levels.{LEVELS - 1}" if level == 0 else f"decoder.levels.{level - 1}.convs"
        bias = weights.get(f"{below}.1.conv.bias")
        if bias is not None:
            identity = torch.eye(len(bias))[:, :, None, None, None].repeat(1, 1, 2, 2, 2)
            made[f"decoder.levels.{level}.up.weight"] = identity
            made[f"decoder.levels.{level}.up.bias"] = torch.zeros(len(bias))
    return made


def whole_unet3d(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict, without values, of the ``UNet3D`` that these weights are of (under our keys), or closest to."""
    first, last = weights.get("encoder.levels.0.0.conv.weight"), weights.get("head.conv.weight")
    width, in_channels = (32, 1) if first is None else first.shape[:2]
    with torch.device("meta"):
        return UNet3D(in_channels, 1 if last is None else len(last), width).state_dict()


LAYOUT = Layout(
    "Models Genesis, Keras",
    "keras-unet",
    "UNet3D",
    is_keras_unet,
    keras_unet_keys,
    beside_keras_unet,
    made_for_keras_unet,
    whole_unet3d,
    settings=lambda weights: {**settings_of_genesis(weights), "norm": "batch"},
)
