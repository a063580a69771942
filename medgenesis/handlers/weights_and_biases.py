"""Weights & Biases: the figures of a training, and what made it."""

from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator

from medgenesis.engines import PretextEvents
from medgenesis.errors import MissingPackageError
from medgenesis.handlers.progress import validation_of_epoch
from medgenesis.storage.run_record import starts


class WeightsAndBiases:
    """Log losses, learning rate and validation to Weights & Biases, under the names that `TensorBoard` gives them.

    The run's configuration there is the last start in `run.json`: versions, commit, machine and every setting. A run
    that is continued in its folder is continued there. `WANDB_MODE=offline` needs no account. Rank 0 only.

    Args:
        output_dir: of the run; wandb keeps its files below it.
        validator: evaluator whose metrics are logged, or None.
        project: name of the project.
        name: of the run; None: wandb finds one.
        every: iterations between points of the batch loss.

    Raises:
        MissingPackageError: (when training starts) wandb is not installed.
    """

    def __init__(
        self,
        output_dir: str | Path,
        validator: Evaluator | None = None,
        project: str = "medgenesis",
        name: str | None = None,
        every: int = 10,
    ) -> None:
        self.folder, self.validator, self.every = Path(output_dir), validator, every
        self.project, self.name = project, name
        self._run: Any = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.started)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(PretextEvents.RUN_ENDED, self.close)

    def started(self, engine: Engine) -> None:
        if engine.state.rank != 0:
            return
        try:
            import wandb
        except ImportError as error:
            raise MissingPackageError(
                "wandb: must be installed for --tracking wandb; found none. Install it: pip install wandb."
            ) from error
        config = next(reversed(starts(self.folder)), None)
        self._run = wandb.init(
            project=self.project, name=self.name, dir=str(self.folder), config=config, resume="auto", reinit=True
        )

    def iteration_completed(self, engine: Engine) -> None:
        if self._run is not None:
            self._run.log({"batch/loss": engine.state.output[0]["loss"].item()}, step=engine.state.iteration)

    def epoch_completed(self, engine: Engine) -> None:
        if self._run is None:
            return
        figures = {f"train/{name}": value for name, value in engine.state.metrics.items()}
        figures["learning_rate"] = engine.learning_rate
        validation = validation_of_epoch(engine, self.validator)
        figures |= {f"validation/{name}": value for name, value in validation.items()}
        self._run.log({**figures, "epoch": engine.state.epoch}, step=engine.state.iteration)

    def close(self, engine: Engine) -> None:
        if self._run is not None:
            self._run.finish()
            self._run = None
