"""The handlers that every pre-training has, in the order in which they must be attached."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.handlers import ValidationHandler

from medgenesis.engines import PretextEvents
from medgenesis.handlers.checkpoints import Checkpoints
from medgenesis.handlers.collapse_guard import CollapseGuard
from medgenesis.handlers.early_stopping import EarlyStopping
from medgenesis.handlers.epoch_schedule import EpochSchedule
from medgenesis.handlers.frozen_probe import FrozenProbe
from medgenesis.handlers.metrics_csv import MetricsCSV
from medgenesis.handlers.preview import Preview
from medgenesis.handlers.progress import Progress
from medgenesis.handlers.tensorboard import TensorBoard
from medgenesis.handlers.written import say_written
from medgenesis.report import write_run_report


class PretextHandlers:
    """Guard, validation, learning rate, early stopping, probe, logs, images and checkpoints of a `PretextTrainer`.

    One handler for all, since their order matters: the guard sees a batch before anything is made of it, each log sees
    the validation of its epoch, and checkpoints come last and hold what the others have done. Handlers of one's own
    are listed before it; whoever wants another order lists them all.

    Args:
        output_dir: receives `last.pt`, `best.pt`, `metrics.csv`, `tensorboard/`, `images/` and, when the run ends, also
            when it is stopped, `report.html`.
        validator: the `PretextEvaluator`, run after every epoch.
        lr_scheduler: stepped after every epoch, or
        epoch_level: False: after every optimizer step.
        export: file that receives the best network's plain state dict, see `Checkpoints`.
        save_every: also save `last.pt` every so many iterations, or None, see `Checkpoints`.
        patience: epochs without a lower validation loss after which training stops, or None: it goes on.
        probe: a `FrozenProbe`, or None.
        settings: what the network is trained with, kept among the weights, see `Checkpoints`.
    """

    def __init__(
        self,
        output_dir: str | Path,
        validator: Evaluator,
        lr_scheduler: Any,
        *,
        epoch_level: bool = True,
        export: str | Path | None = None,
        save_every: int | None = None,
        patience: int | None = None,
        probe: FrozenProbe | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder = Path(output_dir)
        self.export = export
        self.begun = False  # a run that was refused leaves what another one wrote
        self.handlers = [
            CollapseGuard(),
            ValidationHandler(validator=validator, interval=1),
            EpochSchedule(lr_scheduler, epoch_level=epoch_level, print_lr=False),
            *([] if patience is None else [EarlyStopping(validator, patience)]),
            *([] if probe is None else [probe]),
            Progress(validator),
            MetricsCSV(folder / "metrics.csv", validator),
            TensorBoard(folder / "tensorboard", validator),
            Preview(folder / "images", validator),
            Checkpoints(folder, validator, export, every=save_every, settings=settings),
        ]

    def attach(self, engine: Engine) -> None:
        for handler in self.handlers:
            handler.attach(engine)
        engine.add_event_handler(Events.STARTED, self._begin)  # behind the handlers that refuse to continue a run
        engine.add_event_handler(PretextEvents.RUN_ENDED, self._report)

    def _begin(self) -> None:
        self.begun = True

    def _report(self, engine: Engine) -> None:
        if engine.state.rank == 0 and self.begun:
            page = write_run_report(self.folder, "Pre-training")
            say_written(self.folder / "metrics.csv", page, self.export)
