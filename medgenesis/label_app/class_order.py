"""The classes of a model by name: which value each has in a training whose labels were typed in another order."""

from collections.abc import Sequence

import torch
from torch import nn


def order_of(labels: Sequence[str], trained: Sequence[str] | None) -> list[int] | None:
    """For each value of the app (0 is the background) the value that a training has for the same name.

    Args:
        labels: of the app, 1 first.
        trained: of the training, likewise; letters may differ in case.

    Returns:
        None where the names are others.
    """
    places = {_plain(name): value for value, name in enumerate(trained or (), start=1)}
    own = [_plain(name) for name in labels]
    return [0, *(places[name] for name in own)] if sorted(own) == sorted(places) else None


def _plain(name: str) -> str:
    return name.strip().casefold()


class InOrder(nn.Module):
    """A network whose answers come in another order of the classes.

    Args:
        network: (B, C, *spatial) -> scores (B, classes, *spatial).
        order: for each class of the result that of the network.
    """

    def __init__(self, network: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.network, self.order = network, list(order)
        self.guidance = getattr(network, "guidance", 0)  # maps of clicks, still in the order of the network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores in the order of the result."""
        return self.network(x)[:, self.order]
