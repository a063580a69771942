"""Stop a training that has gone wrong, with a message that says so."""

import math

from ignite.engine import Engine, Events
from torch import Tensor

from medgenesis.errors import TrainingError, first_few

_REMEDY = "Lower the learning rate, lengthen the warm-up, or clip the gradient; the last checkpoint is kept."
_NAMED = 16  # files of a batch


class CollapseGuard:
    """Raise when the loss is not finite, or what the network answers has become constant.

    Constant is: restored cubes of one grey value; embeddings of one direction (the method's part "spread", 1 when
    healthy); negatives that look so much like the anchor that nearly all are dropped (its part "pruned"), after which
    nothing is learnt. Users of the published Models Genesis program report that its learning rate of 1 ends in a
    network that answers one grey value whatever it is shown, while the loss looks stable.

    A loss that is not finite is raised with the files of its batch.

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
        state, output = engine.state, engine.state.output[0]
        loss, where = output["loss"].item(), f"at iteration {state.iteration}"
        if not math.isfinite(loss):
            raise TrainingError(f"loss: must be finite; found {loss} {where}{_of_files(engine)}. {_REMEDY}")
        if "restored" in output:
            self._check_restored(output["restored"], state.batch["target"], where)
        if "spread" in output:
            spread = output["spread"].item()
            what = f"their spread was below {self.min_spread:g} (now {spread:.2g}; 1 is healthy). {_REMEDY}"
            sign = f"embeddings: must differ; found them collapsed to one direction {where}"
            self._count(spread < self.min_spread, sign, what)
        if "pruned" in output:
            pruned = output["pruned"].item()
            what = (
                f"more than {self.max_pruned:g} of the negatives were pruned (now {pruned:.4g}). Begin with a level "
                f"without pruning, train that longer, or raise prune_above or prune_after. {_REMEDY}"
            )
            sign = f"negatives: must be left after pruning; found nothing left to contrast with {where}"
            self._count(pruned > self.max_pruned, sign, what)

    def _check_restored(self, restored: Tensor, target: Tensor, where: str) -> None:
        spread, reference = restored.float().std().item(), target.float().std().item()
        what = (
            f"the restored voxels' standard deviation was below {self.min_spread:g} of the target's (now {spread:.2g} "
            f"against {reference:.2g}). {_REMEDY}"
        )
        sign = f"output: must vary; found it collapsed to a constant {where}"
        self._count(spread < self.min_spread * reference, sign, what)

    def _count(self, flat: bool, sign: str, what: str) -> None:
        """Raise when a sign has been there for `patience` batches."""
        name = sign.partition(" at iteration")[0]
        self._flat[name] = self._flat.get(name, 0) + 1 if flat else 0
        if self._flat[name] >= self.patience:
            raise TrainingError(f"{sign}: for {self.patience} batches {what}")


def _of_files(engine: Engine) -> str:
    files = engine.files_of_batch() if hasattr(engine, "files_of_batch") else []
    return f", in a batch of {first_few(files, _NAMED)}" if files else ""
