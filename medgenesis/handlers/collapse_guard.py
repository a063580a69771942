"""Stop a training that has gone wrong, with a message that says so."""

import math

from ignite.engine import Engine, Events

from medgenesis.errors import TrainingError


class CollapseGuard:
    """Raise when the loss is not finite, or what the network answers has become constant.

    Constant is: restored cubes of one grey value; embeddings of one direction (the method's part "spread", 1 when
    healthy); negatives that look so much like the anchor that nearly all are dropped (its part "pruned"), after which
    nothing is learnt. Users of the published Models Genesis program report that its learning rate of 1 ends in a
    network that answers one grey value whatever it is shown, while the loss looks stable.

    Args:
        min_spread: smallest standard deviation of the restored voxels, as a fraction of that of the target, and
            smallest "spread".
        max_pruned: largest share "pruned".
        patience: consecutive batches beyond one of them before training is stopped.

    Raises:
        TrainingError: from the handler, while training.
    """

    def __init__(self, min_spread: float = 0.02, max_pruned: float = 0.99, patience: int = 20) -> None:
        self.min_spread, self.max_pruned, self.patience = min_spread, max_pruned, patience
        self._flat: dict[str, int] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        output = engine.state.output
        loss = output["loss"].item()
        where = f"at iteration {engine.state.iteration}"
        remedy = "lower the learning rate, lengthen the warm-up, or clip the gradient; the last checkpoint is kept"
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} {where}: {remedy}")
        if "restored" in output:
            spread = output["restored"].float().std().item()
            reference = engine.state.batch["target"].float().std().item()
            self._count(
                spread < self.min_spread * reference,
                f"the output has collapsed to a constant {where}: for {self.patience} batches the restored voxels' "
                f"standard deviation was below {self.min_spread:g} of the target's (now {spread:.2g} against "
                f"{reference:.2g}): {remedy}",
            )
        if "spread" in output:
            spread = output["spread"].item()
            self._count(
                spread < self.min_spread,
                f"the embeddings have collapsed to one direction {where}: for {self.patience} batches their spread was "
                f"below {self.min_spread:g} (now {spread:.2g}; 1 is healthy): {remedy}",
            )
        if "pruned" in output:
            pruned = output["pruned"].item()
            self._count(
                pruned > self.max_pruned,
                f"nothing is left to contrast with {where}: for {self.patience} batches more than {self.max_pruned:g} "
                f"of the negatives were pruned (now {pruned:.4g}): begin with a level without pruning, raise prune_above, "
                f"or {remedy}",
            )

    def _count(self, flat: bool, message: str) -> None:
        """Raise when a sign, told by how its message begins, has been there for `patience` batches."""
        sign = message.split(" at iteration")[0]
        self._flat[sign] = self._flat.get(sign, 0) + 1 if flat else 0
        if self._flat[sign] >= self.patience:
            raise TrainingError(message)
