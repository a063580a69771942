"""Weights into a network when an engine starts: all of them, or a clear error."""

from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from medgenesis.weights import load_pretrained


class LoadWeights:
    """Load a network's weights, its head's included, before an engine's first batch.

    Args:
        path: what `load_pretrained` takes.
        network: whose weights they are.

    Raises:
        CheckpointError: the file cannot be read, or is of another network.
    """

    def __init__(self, path: str | Path, network: nn.Module) -> None:
        self.path, self.network = path, network

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        load_pretrained(self.network, self.path, skip_head="never")
