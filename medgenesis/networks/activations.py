"""The activation of a network's head, by name."""

from torch import nn


def activation_layer(name: str | None) -> nn.Module:
    """The module of an activation: "sigmoid", "softmax" (over channels), or None (also written "none")."""
    if name is None or name == "none":
        return nn.Identity()
    if name == "sigmoid":
        return nn.Sigmoid()
    if name == "softmax":
        return nn.Softmax(dim=1)
    raise ValueError(f'activation: must be "sigmoid", "softmax" or None; found {name!r}. Choose one of them.')
