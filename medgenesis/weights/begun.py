"""Whether the head of a network was loaded with the weights of a segmentation, or begins anew."""

from collections.abc import Iterable

from torch import nn

from medgenesis.networks.parts import network_parts

_NAME = "_newly_initialised"


def note_newly_initialised(network: nn.Module, keys: Iterable[str]) -> None:
    """Let a network that has been given weights carry the keys whose weights are not those of its own task."""
    setattr(network, _NAME, frozenset(keys))


def head_was_loaded(network: nn.Module) -> bool:
    """Whether a segmentation's weights were loaded, its head's among them; False where it starts from scratch."""
    fresh = network.__dict__.get(_NAME)
    head = f"{network_parts(network).head}."
    return fresh is not None and not any(key.startswith(head) for key in fresh)
