"""Weights of a network in a file of their own, whole or not at all."""

from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from medgenesis.storage.checkpoint import save_checkpoint


class SaveWeights:
    """Save a network's state dict when the engine has run: a trainer at its end, an evaluator after each evaluation.

    MONAI's `CheckpointSaver` writes in place, so that a full disk or a kill leaves half of a file where a good one was.

    Args:
        path: the file; folders are made when the handler is attached, so that a wrong path is known before training.
        network: whose weights to save.
        best_only: save only if the evaluation's key metric is the best so far; for evaluators.

    Raises:
        CheckpointError: the disk is full, or the folder cannot be written; an earlier file is as it was.
    """

    def __init__(self, path: str | Path, network: nn.Module, best_only: bool = False) -> None:
        self.path, self.network, self.best_only = Path(path), network, best_only

    def attach(self, engine: Engine) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.rank != 0 or (self.best_only and engine.state.best_metric_epoch != engine.state.epoch):
            return
        save_checkpoint(self.network.state_dict(), self.path)
