"""The handlers of every training with labels, in the order in which they must be attached."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine
from monai.engines import Evaluator
from torch.optim.lr_scheduler import ReduceLROnPlateau

from medgenesis.handlers.checkpoints import Checkpoints
from medgenesis.handlers.collapse_guard import CollapseGuard
from medgenesis.handlers.early_stopping import EarlyStopping
from medgenesis.handlers.epoch_schedule import EpochSchedule, PlateauSchedule
from medgenesis.handlers.finite_answers import FiniteAnswers
from medgenesis.handlers.freeze_parts import FreezeParts
from medgenesis.handlers.norm_statistics import ReestimateNorm
from medgenesis.handlers.probe_first import ProbeFirst
from medgenesis.handlers.save_weights import SaveWeights
from medgenesis.handlers.training_logs import TrainingLogs
from medgenesis.handlers.validate_every import ValidateEvery


class SupervisedHandlers:
    """Freezing, learning rate, validation, early stopping, logs and checkpoints of a `Supervised` training.

    One handler for all, since their order matters: each log sees the validation of its epoch, and checkpoints come last
    and hold what the others have done. Handlers of one's own are listed before it.

    Args:
        output_dir: receives `last.pt`, `best.pt`, `metrics.csv`, `tensorboard/` and `report.html`.
        validator: the evaluator, whose key metric is better when it is larger; with an empty data set the last weights
            are the model.
        lr_scheduler: stepped after every epoch, `ReduceLROnPlateau` after each validation by the key metric (see
            `PlateauSchedule`); or None.
        title: heading of the report.
        val_interval: epochs between validations; the last epoch is validated too.
        freeze: epochs of each frozen part, see `FreezeParts`.
        norm_batches: see `ReestimateNorm`; 0 is none.
        probe_first: whether the head begins as a linear classifier, see `ProbeFirst`.
        patience: epochs without a better validation after which training stops, or None: it goes on.
        export: file that receives the best network's plain state dict, see `Checkpoints`.
        export_last: file that receives the last one's too, where there is a validation; or None.
        settings: what the network is trained with, kept among the weights.

    Raises:
        ValueError: a plateau or patience without validation data.
    """

    def __init__(
        self,
        output_dir: str | Path,
        validator: Evaluator,
        lr_scheduler: Any = None,
        *,
        title: str = "Training",
        val_interval: int = 1,
        freeze: Mapping[str, int | str] | None = None,
        norm_batches: int = 0,
        probe_first: bool = False,
        patience: int | None = None,
        export: str | Path | None = None,
        export_last: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.validator, self.lr_scheduler, self.val_interval = validator, lr_scheduler, val_interval
        self.norm_batches, self.settings = norm_batches, settings
        self.probing = ProbeFirst() if probe_first else None
        validated = len(validator.data_loader.dataset) > 0
        self.export_last = export_last if validated else None
        asked = {"schedule": isinstance(lr_scheduler, ReduceLROnPlateau), "patience": patience is not None}
        if any(asked.values()) and not validated:
            names = " and ".join(name for name, one in asked.items() if one)
            raise ValueError(
                f"{names}: must have records to validate on; found an empty section. Add records, or leave it out."
            )
        self.freezing = FreezeParts(freeze) if freeze else None
        self.stopping = EarlyStopping(validator, patience) if patience is not None else None
        self.logs = TrainingLogs(output_dir, validator, title)
        self.checkpoints = Checkpoints(output_dir, validator if validated else None, export, settings=settings)

    def attach(self, engine: Engine) -> None:
        FiniteAnswers().attach(self.validator)
        last = None if self.export_last is None else (self.export_last, engine.method.network, self.settings)
        plateau = isinstance(self.lr_scheduler, ReduceLROnPlateau)
        handlers = [
            CollapseGuard(),
            self.freezing,
            self.probing,
            None if plateau or self.lr_scheduler is None else EpochSchedule(self.lr_scheduler, print_lr=False),
            ReestimateNorm(self.norm_batches, self.val_interval) if self.norm_batches else None,
            ValidateEvery(self.val_interval, self.validator),
            PlateauSchedule(self.lr_scheduler, self.validator, self.val_interval) if plateau else None,
            self.stopping,
            self.logs,
            None if last is None else SaveWeights(*last),
            self.checkpoints,
        ]
        for handler in handlers:
            if handler is not None:
                handler.attach(engine)
