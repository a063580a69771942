"""What every training with labels records and says: one handler, as `PretextHandlers` for pre-training."""

import logging
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from medgenesis.engines import PretextTrainer
from medgenesis.handlers.metrics_csv import MetricsCSV
from medgenesis.handlers.progress import Progress, batch_loss
from medgenesis.handlers.tensorboard import TensorBoard
from medgenesis.report import write_run_report

logger = logging.getLogger(__name__)


class TrainingLogs:
    """Progress, `metrics.csv`, TensorBoard and `report.html` of a training with labels, by our trainer or MONAI's.

    List it behind the `ValidationHandler`, so that it sees the validation of its epoch. The mean loss of an epoch
    becomes `state.metrics["loss"]`.

    Args:
        output_dir: receives `metrics.csv`, `tensorboard/` and, when training ends, `report.html`.
        validator: evaluator whose metrics are logged, or None.
        title: heading of the report.
    """

    def __init__(self, output_dir: str | Path, validator: Evaluator | None = None, title: str = "Training") -> None:
        self.folder, self.title = Path(output_dir), title
        self.handlers = [
            Progress(validator),
            MetricsCSV(self.folder / "metrics.csv", validator),
            TensorBoard(self.folder / "tensorboard", validator),
        ]
        self._losses: list[torch.Tensor] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, lambda _: self._losses.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        for handler in self.handlers:
            handler.attach(engine)
        engine.add_event_handler(Events.COMPLETED, self._completed)

    def _iteration_completed(self, engine: Engine) -> None:
        self._losses.append(batch_loss(engine.state.output))

    def _epoch_completed(self, engine: Engine) -> None:
        if self._losses and not isinstance(engine, PretextTrainer):  # which knows the whole epoch, after a restart too
            engine.state.metrics["loss"] = torch.stack(self._losses).double().mean().item()

    def _completed(self, engine: Engine) -> None:
        if engine.state.rank == 0:
            report = write_run_report(self.folder, self.title)
            logger.info("written: %s, %s", self.folder / "metrics.csv", report)
