"""Keys and shapes of MONAI's ``SwinUNETR``, by its settings.

MONAI's own network cannot be built without memory for its values (``torch.device("meta")``), and the largest published
one has 4 GB of them.
"""

from collections.abc import Sequence

import torch

_WINDOW = 7
Shapes = dict[str, tuple[int, ...]]


def transformer_shapes(
    in_channels: int, feature_size: int, depths: Sequence[int], num_heads: Sequence[int], use_v2: bool
) -> dict[str, torch.Tensor]:
    """The entries ``swinViT.…`` of ``SwinUNETR``, without values."""
    shapes: Shapes = _layer("patch_embed.proj", feature_size, in_channels, 2, 2, 2)
    for number, (depth, heads) in enumerate(zip(depths, num_heads, strict=True), start=1):
        width = feature_size * 2 ** (number - 1)
        for i in range(depth):
            shapes |= _block(f"layers{number}.0.blocks.{i}", width, heads)
        shapes[f"layers{number}.0.downsample.reduction.weight"] = (2 * width, 8 * width)
        shapes |= _norm(f"layers{number}.0.downsample.norm", 8 * width)
        if use_v2:
            shapes |= _convolutions(f"layers{number}c.0.layer", width, width)
    return _without_values({f"swinViT.{key}": shape for key, shape in shapes.items()})


def encoder_shapes(in_channels: int, feature_size: int) -> dict[str, torch.Tensor]:
    """The blocks ``encoder1`` … ``encoder10`` of ``SwinUNETR``, without values."""
    widths = {1: feature_size, 2: feature_size, 3: 2 * feature_size, 4: 4 * feature_size, 10: 16 * feature_size}
    shapes: Shapes = {}
    for number, width in widths.items():
        shapes |= _convolutions(f"encoder{number}.layer", in_channels if number == 1 else width, width)
    return _without_values(shapes)


def decoder_shapes(feature_size: int, out_channels: int) -> dict[str, torch.Tensor]:
    """The blocks ``decoder5`` … ``decoder1`` of ``SwinUNETR`` and its output, without values."""
    shapes: Shapes = {}
    for number in (5, 4, 3, 2, 1):
        width = feature_size * 2 ** max(0, number - 2)
        below = feature_size if number == 1 else 2 * width
        shapes[f"decoder{number}.transp_conv.conv.weight"] = (below, width, 2, 2, 2)
        shapes |= _convolutions(f"decoder{number}.conv_block", 2 * width, width)
    return _without_values(shapes | _layer("out.conv.conv", out_channels, feature_size, 1, 1, 1))


def _block(key: str, width: int, heads: int) -> Shapes:
    attention = {
        f"{key}.attn.relative_position_bias_table": ((2 * _WINDOW - 1) ** 3, heads),
        f"{key}.attn.relative_position_index": (_WINDOW**3, _WINDOW**3),
    }
    layers = (("attn.qkv", 3, 1), ("attn.proj", 1, 1), ("mlp.linear1", 4, 1), ("mlp.linear2", 1, 4))
    for name, out, inside in layers:
        attention |= _layer(f"{key}.{name}", out * width, inside * width)
    return attention | _norm(f"{key}.norm1", width) | _norm(f"{key}.norm2", width)


def _layer(key: str, out: int, inside: int, *kernel: int) -> Shapes:
    return {f"{key}.weight": (out, inside, *kernel), f"{key}.bias": (out,)}


def _norm(key: str, width: int) -> Shapes:
    return {f"{key}.weight": (width,), f"{key}.bias": (width,)}


def _convolutions(key: str, inside: int, out: int) -> Shapes:
    """A residual block: two convolutions, and one beside where the numbers of channels differ."""
    shapes: Shapes = {
        f"{key}.conv1.conv.weight": (out, inside, 3, 3, 3),
        f"{key}.conv2.conv.weight": (out, out, 3, 3, 3),
    }
    return shapes | ({f"{key}.conv3.conv.weight": (out, inside, 1, 1, 1)} if inside != out else {})


def _without_values(shapes: Shapes) -> dict[str, torch.Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
