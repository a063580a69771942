"""A head that sees the maps of all levels of a U-Net, not the last one alone."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from medgenesis.networks.activations import activation_layer

HEAD_LEVELS = ("last", "all")


class LevelHead(nn.Module):
    """One 1x1 convolution for the maps of each level, whose answers are enlarged linearly and added.

    That is a linear classifier on the maps enlarged to full size, as both steps are linear.

    Args:
        channels: of the maps, from the encoder's first to the decoder's last.
        out_channels: channels of the output.
        activation: "sigmoid", "softmax" (over channels), or None for logits.
        axes: spatial axes, 2 or 3.

    Shape:
        input: a list of maps (B, channels, *some spatial), the last of full size.
        returns: (B, out_channels, *spatial).

    References:
        Hariharan et al., Hypercolumns, CVPR 2015 (arXiv 1411.5752), section 3.
    """

    def __init__(self, channels: Sequence[int], out_channels: int, activation: str | None, axes: int):
        super().__init__()
        convolution = nn.Conv3d if axes == 3 else nn.Conv2d
        last = len(channels) - 1  # which has the one bias
        self.convs = nn.ModuleList(
            convolution(number, out_channels, kernel_size=1, bias=level == last)
            for level, number in enumerate(channels)
        )
        self.activation = activation_layer(activation)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        sides = maps[-1].shape[2:]
        answers: list[torch.Tensor] = []
        for level, conv in enumerate(self.convs):
            answer = enlarged(conv(maps[level]), sides)
            answers = [answers[0] + answer] if answers else [answer]  # one at a time is held
        return self.activation(answers[0])


def enlarged(one: torch.Tensor, sides: list[int]) -> torch.Tensor:
    """A map (B, channels, *some spatial) on a grid of these sides over the same box, linearly."""
    if one.shape[2:] == sides:
        return one
    return F.interpolate(one, size=sides, mode="trilinear" if one.ndim == 5 else "bilinear", align_corners=False)


def check_head_levels(head_levels: str) -> None:
    """Refuse another word.

    Raises:
        ValueError: it is another.
    """
    if head_levels not in HEAD_LEVELS:
        raise ValueError(
            f"head_levels: must be one of {', '.join(HEAD_LEVELS)}; found {head_levels!r}. Choose one of them."
        )


def kept_head_levels(network: nn.Module, head_levels: str) -> str:
    """The setting that is kept with a network's weights.

    Raises:
        ValueError: "all" of a network that has another head, which the setting has not changed.
    """
    if head_levels == "all" and not getattr(network, "sees_all_levels", False):
        raise ValueError(
            f"head_levels: must be last with {type(network).__name__}, which has a head of its own; found 'all'. Leave "
            "it out (of the command and its overlays), or take the bundle's own network."
        )
    return head_levels
