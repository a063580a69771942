"""Weights of a network in a file of their own, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from medgenesis.storage.checkpoint import save_checkpoint
from medgenesis.weights import with_settings
from medgenesis.weights.origin import origin_of
from medgenesis.weights.seen import seen_of


class SaveWeights:
    """Save a network's state dict when the engine has run: a trainer at its end, an evaluator after each evaluation.

    MONAI's `CheckpointSaver` writes in place, so that a full disk or a kill leaves half of a file where a good one was.

    Args:
        path: the file; folders are made when the handler is attached, so that a wrong path is known before training.
        network: whose weights to save.
        settings: what the network is trained with, kept among the weights (`medgenesis.weights.with_settings`).

    Raises:
        CheckpointError: the disk is full, or the folder cannot be written; an earlier file is as it was.
    """

    def __init__(self, path: str | Path, network: nn.Module, settings: Mapping[str, Any] | None = None) -> None:
        self.path, self.network, self.settings = Path(path), network, settings

    def attach(self, engine: Engine) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if getattr(engine.state, "interrupted", 0):  # a training that is to be continued
            return
        if engine.state.rank == 0:
            save_checkpoint(described(self.network.state_dict(), self.network, self.settings), self.path)


def described(
    state_dict: Mapping[str, Any], network: nn.Module, settings: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """The weights with what is kept among them: settings, and what the network has begun with and was trained on."""
    return with_settings(state_dict, settings, origin_of(network), seen_of(network))
