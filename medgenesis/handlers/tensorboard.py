"""TensorBoard: scalars of every epoch, and images of the pretext task."""

from pathlib import Path

from ignite.engine import Engine, Events
from monai.engines import Evaluator
from torch.utils.tensorboard import SummaryWriter

from medgenesis.engines import PretextEvents
from medgenesis.handlers.preview import pretext_image
from medgenesis.handlers.progress import validation_of_epoch


class TensorBoard:
    """Write losses and learning rate by epoch, loss by iteration, and images of the pretext task (see `Preview`).

    Events that an earlier, killed run wrote beyond the checkpoint are purged on resume. Rank 0 only.

    Args:
        log_dir: folder for the event files.
        validator: evaluator whose metrics and last batch are written, or None.
        every: iterations between points of the batch loss.
    """

    def __init__(self, log_dir: str | Path, validator: Evaluator | None = None, every: int = 10) -> None:
        self.log_dir, self.validator, self.every = Path(log_dir), validator, every
        self._writer: SummaryWriter | None = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(PretextEvents.RUN_ENDED, self.close)

    def epoch_started(self, engine: Engine) -> None:
        if self._writer is None and engine.state.rank == 0:
            self._writer = SummaryWriter(self.log_dir, purge_step=engine.state.iteration + 1)

    def iteration_completed(self, engine: Engine) -> None:
        if self._writer is not None:
            self._writer.add_scalar("batch/loss", engine.state.output[0]["loss"].item(), engine.state.iteration)

    def epoch_completed(self, engine: Engine) -> None:
        if self._writer is None:
            return
        step = engine.state.iteration
        for name, value in engine.state.metrics.items():
            self._writer.add_scalar(f"train/{name}", value, step)
        self._writer.add_scalar("learning_rate", engine.learning_rate, step)
        for name, value in validation_of_epoch(engine, self.validator).items():
            self._writer.add_scalar(f"validation/{name}", value, step)
        if self.validator is not None:
            state = self.validator.state
            found = pretext_image(state.batch, state.output) if state.output else None
            if found is not None:
                self._writer.add_image(*found, step, dataformats="HW")
        self._writer.flush()

    def close(self, engine: Engine) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
