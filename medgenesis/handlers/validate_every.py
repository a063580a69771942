"""Validation at intervals, and of the last epoch."""

from ignite.engine import Engine, Events
from monai.handlers import ValidationHandler


def is_validated(epoch: int, interval: int, last: int) -> bool:
    """Whether an epoch is: each `interval`-th, and the last, whose weights would else be no candidate for the best."""
    return epoch % interval == 0 or epoch == last


class ValidateEvery(ValidationHandler):
    """MONAI's, of epochs alone, which also validates the last one (`max_epochs`) where that is no multiple.

    Args:
        interval: epochs.
        validator: MONAI's or Ignite's evaluator.
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=self._is_due), self)

    def _is_due(self, engine: Engine, epoch: int) -> bool:
        return is_validated(epoch, self.interval, engine.state.max_epochs)
