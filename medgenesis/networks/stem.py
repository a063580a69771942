"""The first convolution of a network, brought to another number of input channels."""

import torch


def inflate_stem(weight: torch.Tensor, slices: int) -> torch.Tensor:
    """The weight of an input convolution on c channels, spread over ``slices`` channels.

    Exact: ``slices`` equal channels give, to rounding, what c equal channels gave; each slice gets the sum over the c
    channels, divided by ``slices``.

    Args:
        weight: (O, c, *kernel).
        slices: channels of the result (O, slices, *kernel); with c of them the weight is returned as it is.

    Raises:
        ValueError: fewer than 1 slice, or a weight of fewer than 2 dimensions.

    Notes:
        The published 2D networks saw grey images as three equal channels, to which this is faithful. Of a network that
        learnt colours it keeps the answer to grey alone.
    """
    if slices < 1:
        raise ValueError(f"slices: must be at least 1; found {slices}. Give the number of slices of a slab.")
    if weight.ndim < 2:
        raise ValueError(f"weight: must be (O, c, *kernel); found shape {tuple(weight.shape)}. Give a convolution's.")
    if weight.shape[1] == slices:
        return weight
    return (weight.sum(dim=1, keepdim=True) / slices).repeat_interleave(slices, dim=1)


def inflate_guided_stem(weight: torch.Tensor, channels: int, clicked: int, guidance: int) -> torch.Tensor:
    """The weight of an input convolution whose last channels are for clicks.

    Exact: without clicks it gives what it gave before.

    Args:
        weight: (O, c, *kernel).
        channels: of the result (O, channels, *kernel).
        clicked: how many of the c are for clicks; kept where there are to be as many, left out otherwise.
        guidance: how many of the result's are for clicks, zero where they are new.
    """
    image = inflate_stem(weight[:, : weight.shape[1] - clicked], channels - guidance)
    clicks = weight[:, weight.shape[1] - clicked :]
    if clicked != guidance:
        clicks = weight.new_zeros((len(weight), guidance, *weight.shape[2:]))
    return torch.cat([image, clicks], dim=1)
