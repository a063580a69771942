"""Stop when the validation no longer improves."""

import logging
import numbers

from ignite.engine import Engine, Events
from monai.engines import Evaluator

logger = logging.getLogger(__name__)


class EarlyStopping:
    """End training after `patience` epochs without a better validation: of pre-training, a lower loss.

    It keeps no state: the validator knows its best epoch, which checkpoints hold, so a restart changes nothing.

    Args:
        validator: the evaluator whose `state.best_metric_epoch` counts.
        patience: epochs (50 in Models Genesis).

    Raises:
        ValueError: a patience that is no whole number above 0.
    """

    def __init__(self, validator: Evaluator, patience: int = 50) -> None:
        if not isinstance(patience, numbers.Integral) or isinstance(patience, bool) or patience < 1:
            raise ValueError(f"patience: must be a whole number of epochs above 0; found {patience!r}. Give 1 or more.")
        self.validator, self.patience = validator, patience

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self, -1)  # a run that had stopped stays stopped when resumed
        engine.add_event_handler(Events.EPOCH_COMPLETED, self, 0)

    def __call__(self, engine: Engine, offset: int) -> None:
        best = self.validator.state.best_metric_epoch
        if best > 0 and engine.state.epoch + offset - best >= self.patience:
            logger.info("no better validation for %d epochs (best: epoch %d): stopping", self.patience, best)
            engine.terminate()
