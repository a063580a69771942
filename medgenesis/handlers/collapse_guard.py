"""Stop a training that has gone wrong, with a message that says so."""

import math

from ignite.engine import Engine, Events

from medgenesis.errors import TrainingError


class CollapseGuard:
    """Raise when the loss is not finite, or the restored cubes have become constant.

    Users of the published Models Genesis program report that its learning rate of 1 ends in a network that answers
    one grey value whatever it is shown, while the loss looks stable.

    Args:
        min_spread: smallest standard deviation of the restored voxels, as a fraction of that of the target.
        patience: consecutive batches below it before training is stopped.

    Raises:
        TrainingError: from the handler, while training.
    """

    def __init__(self, min_spread: float = 0.02, patience: int = 20) -> None:
        self.min_spread, self.patience = min_spread, patience
        self._flat = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        output = engine.state.output
        loss = output["loss"].item()
        where = f"at iteration {engine.state.iteration}"
        remedy = "lower the learning rate, lengthen the warm-up, or clip the gradient; the last checkpoint is kept"
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} {where}: {remedy}")
        if "restored" not in output:
            return
        spread = output["restored"].float().std().item()
        reference = engine.state.batch["target"].float().std().item()
        self._flat = self._flat + 1 if spread < self.min_spread * reference else 0
        if self._flat >= self.patience:
            raise TrainingError(
                f"the output has collapsed to a constant {where}: for {self.patience} batches the restored voxels' "
                f"standard deviation was below {self.min_spread:g} of the target's (now {spread:.2g} against "
                f"{reference:.2g}): {remedy}"
            )
