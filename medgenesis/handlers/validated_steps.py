"""A training of a fixed number of steps: judged every so many, its best weights kept, stopped when it gets worse."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch.utils.tensorboard import SummaryWriter

from medgenesis.engines.pretext import PretextEvents
from medgenesis.storage.checkpoint import read_checkpoint, save_checkpoint
from medgenesis.storage.tables import write_table

logger = logging.getLogger(__name__)

LAST, BEST, CURVE = "last.pt", "best.pt", "curve.csv"
_STATE = "validated steps"


class ValidatedSteps:
    """End a `PretextTrainer` after so many steps, or earlier when the validation gets worse; continue after a kill.

    The trainer's schedule of the learning rate goes on with every step.

    At every check, and at the last step, `last.pt` (all that the run needs to go on), `curve.csv` (step, mean loss
    since the check before, learning rate, score) and the scalars of `tensorboard/` are written; `best.pt`, the
    network's weights, where the score is the best so far or equal to it. A run that is continued repeats what came
    after its last check, identically.

    Args:
        folder: of the run.
        steps: optimizer steps in all.
        judge: the score of the network as it is, larger is better; None: nothing is judged, the last weights count.
        every: steps from one check to the next.
        patience: checks worse than the best, one after the other, that end the training; None: none do.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(
        self,
        folder: str | Path,
        steps: int,
        judge: Callable[[], float] | None = None,
        *,
        every: int = 200,
        patience: int | None = None,
    ) -> None:
        if min(steps, every, 1 if patience is None else patience) < 1:
            raise ValueError(
                f"steps, every, patience: must be at least 1; found {steps}, {every} and {patience}. Give more."
            )
        self.folder, self.steps, self.judge = Path(folder), steps, judge
        self.every, self.patience = every, patience
        self.rows: list[dict[str, Any]] = []
        self.best, self.best_step, self._worse = -math.inf, 0, 0
        self._sum, self._count = 0.0, 0
        self._writer: SummaryWriter | None = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._end)  # a run that had ended stays so when continued
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.step)
        engine.add_event_handler(PretextEvents.RUN_ENDED, self.close)

    def start(self, engine: Engine) -> None:
        last = self.folder / LAST
        if last.is_file():
            checkpoint = read_checkpoint(last, map_location=engine.state.device)
            engine.restore(checkpoint)
            told = checkpoint[_STATE]
            self.rows, self.best, self.best_step, self._worse = (told[k] for k in ("rows", "best", "step", "worse"))
            logger.info("continuing from %s: %d steps done", last, engine.state.iteration)
        self._writer = SummaryWriter(self.folder / "tensorboard", purge_step=engine.state.iteration + 1)

    def step(self, engine: Engine) -> None:
        self._sum, self._count = self._sum + float(engine.state.output[0]["loss"]), self._count + 1
        if engine.lr_scheduler is not None:
            engine.lr_scheduler.step()
        if engine.state.iteration % self.every == 0 or engine.state.iteration == self.steps:
            self._check(engine)
        self._end(engine)

    def close(self, engine: Engine) -> None:
        if self._writer is not None:
            self._writer.close()

    @property
    def ended_early(self) -> bool:
        """Whether the validation has ended the training."""
        return self.patience is not None and self._worse >= self.patience

    def _check(self, engine: Engine) -> None:
        step = engine.state.iteration
        row = {"step": step, "loss": self._sum / self._count, "rate": engine.learning_rate}
        self._sum, self._count = 0.0, 0
        if self.judge is not None:
            row["score"] = score = float(self.judge())
            if score >= self.best:  # of equal ones the latest
                self.best, self.best_step, self._worse = score, step, 0
                save_checkpoint(engine.method.network.state_dict(), self.folder / BEST)
            else:
                self._worse += 1
        self.rows.append(row)
        said = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
        logger.info("step %d of %d: %s", step, self.steps, said)
        for name, value in row.items():
            if name != "step" and self._writer is not None:
                self._writer.add_scalar(name, value, step)
        write_table(self.folder / CURVE, self.rows)
        told = {"rows": self.rows, "best": self.best, "step": self.best_step, "worse": self._worse}
        save_checkpoint({**engine.checkpoint(), _STATE: told}, self.folder / LAST)

    def _end(self, engine: Engine) -> None:
        if engine.state.iteration >= self.steps or self.ended_early:
            engine.terminate()
