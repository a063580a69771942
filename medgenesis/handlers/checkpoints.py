"""Last and best checkpoints, resume, and a clean end on SIGTERM."""

import logging
import signal
import threading
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from medgenesis.engines import PretextEvents
from medgenesis.errors import CheckpointError
from medgenesis.storage.checkpoint import read_checkpoint, save_checkpoint

logger = logging.getLogger(__name__)


class Checkpoints:
    """Save `last.pt` and `best.pt`, continue from `last.pt`, and stop cleanly when the cluster says so.

    Attach it to a `PretextTrainer` as the last handler of the list, so that it saves what the others have done.

    Args:
        output_dir: receives `last.pt` (every epoch, and where asked more often) and `best.pt` (lowest validation
            loss); made if absent.
        validator: the `PretextEvaluator` whose loss decides what is best, or None: then last is best.
        export: file that receives the best network's plain state dict (`models/pretrained.pt`), or None.
        every: also save `last.pt` every so many iterations (where one ends with an optimizer step), or None; what is
            lost by a kill is redone identically.
        resume: continue from `last.pt` where it exists; False refuses to overwrite it.

    SIGTERM: the running batch group (at an epoch's end, the epoch) is finished, `last.pt` written, and the trainer
    exits with status 143. During validation it is noticed when that has ended. Only rank 0 writes. Files are written
    beside, then renamed.

    Raises:
        CheckpointError: the folder cannot be written, or `last.pt` is of another run.
    """

    def __init__(
        self,
        output_dir: str | Path,
        validator: Evaluator | None = None,
        export: str | Path | None = None,
        every: int | None = None,
        resume: bool = True,
    ) -> None:
        self.folder = Path(output_dir)
        self.validator, self.resume, self.every = validator, resume, every
        self.export = None if export is None else Path(export)
        self._stop_asked = False
        self._previous: Any = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(PretextEvents.RUN_ENDED, self.run_ended)

    def start(self, engine: Engine) -> None:
        self._check_writable()
        last = self.folder / "last.pt"
        if last.exists():
            self._resume(engine, last)
        self._stop_asked = False
        if threading.current_thread() is threading.main_thread():  # only there may signal handlers be set
            self._previous = signal.signal(signal.SIGTERM, self._ask_to_stop)

    def iteration_completed(self, engine: Engine) -> None:
        if not engine.at_step:  # gradients are pending: they are in no checkpoint
            return
        if (
            engine.state.iteration % engine.state.epoch_length == 0
        ):  # the epoch's end, validation for example, is still to come
            return
        if self._agreed_to_stop(engine):
            self._save(engine, "last.pt")
            self._stop(engine)
        elif self.every and engine.state.iteration % self.every == 0:
            self._save(engine, "last.pt")

    def epoch_completed(self, engine: Engine) -> None:
        if self.validator is None or self.validator.state.best_metric_epoch == engine.state.epoch:
            self._save(engine, "best.pt")
            if self.export is not None and engine.state.rank == 0:
                save_checkpoint(engine.method.network.state_dict(), self.export)
        self._save(engine, "last.pt")  # after the best: a kill between the two redoes the epoch
        if self._agreed_to_stop(engine):
            self._stop(engine)

    def run_ended(self, engine: Engine) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None

    def _resume(self, engine: Engine, last: Path) -> None:
        if not self.resume:
            raise CheckpointError(
                f"{last}: must not exist for a new run; found one. Choose another output folder, remove it, or resume."
            )
        checkpoint = read_checkpoint(last, map_location=engine.state.device)
        try:
            engine.restore(checkpoint)
        except CheckpointError as error:
            raise CheckpointError(f"{last}: {error}") from error
        if self.validator is not None and "best_loss" in checkpoint:  # absent where the run had no validation so far
            self.validator.state.best_metric = checkpoint["best_loss"]
            self.validator.state.best_metric_epoch = checkpoint["best_epoch"]
        logger.info("continuing from %s: %d iterations done", last, engine.state.iteration)

    def _save(self, engine: Engine, name: str) -> None:
        if engine.state.rank != 0:
            return
        checkpoint = engine.checkpoint()
        if self.validator is not None:
            checkpoint["best_loss"] = self.validator.state.best_metric
            checkpoint["best_epoch"] = self.validator.state.best_metric_epoch
        save_checkpoint(checkpoint, self.folder / name)

    def _stop(self, engine: Engine) -> None:
        logger.warning("SIGTERM: saved %s, stopping; the same command continues", self.folder / "last.pt")
        engine.state.interrupted = True
        engine.terminate()

    def _check_writable(self) -> None:
        """Find out now, not after the first epoch, whether the folders can be written."""
        for folder in (self.folder, *([] if self.export is None else [self.export.parent])):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".writable-{threading.get_native_id()}"
                probe.touch()
                probe.unlink(missing_ok=True)  # another process may have had the same name
            except OSError as error:
                raise CheckpointError(
                    f"{folder}: cannot be written ({error.strerror}). Choose another folder with --output_dir."
                ) from error

    def _ask_to_stop(self, *_: Any) -> None:
        self._stop_asked = True

    def _agreed_to_stop(self, engine: Engine) -> bool:
        """Whether any rank was asked to stop: all must stop at the same iteration."""
        if engine.wrapped is engine.method:
            return self._stop_asked
        asked = torch.tensor(float(self._stop_asked), device=engine.state.device)
        torch.distributed.all_reduce(asked)
        return bool(asked.item())
