"""A progress bar with loss and cubes a second, and a line an epoch in the log."""

import logging
import time

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.engines import Evaluator

from medgenesis.progress import bars_disabled, duration

logger = logging.getLogger(__name__)


class Progress:
    """Show the iterations of an epoch as Ignite's progress bar (on a terminal), and log each finished epoch.

    Both show the loss and cubes/s; the line also how long the epochs that are left take at most. Rank 0 only.

    Args:
        validator: evaluator whose loss the log line shows, or None.
    """

    def __init__(self, validator: Evaluator | None = None) -> None:
        self.validator = validator
        self._began = self._epoch_began = 0.0
        self._first = 0
        self._run_began, self._run_first = 0.0, 0

    def attach(self, engine: Engine) -> None:
        if engine.state.rank != 0:
            return
        engine.add_event_handler(Events.STARTED, self._start_run)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._start_iteration)
        bar = ProgressBar(persist=False, desc="Epoch", ncols=110, disable=bars_disabled())
        bar.attach(engine, output_transform=lambda output: self._figures(engine, output))
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)

    def _start_run(self, engine: Engine) -> None:
        self._run_began, self._run_first = time.perf_counter(), engine.state.epoch

    def _start_epoch(self, engine: Engine) -> None:
        self._epoch_began, self._first = time.perf_counter(), engine.state.iteration

    def _start_iteration(self, engine: Engine) -> None:
        self._began = time.perf_counter()

    def _figures(self, engine: Engine, output: dict) -> dict[str, float]:
        speed = _cubes(engine, 1) / (time.perf_counter() - self._began)
        return {"loss": output["loss"].item(), "cubes/s": speed}

    def _log(self, engine: Engine) -> None:
        state = engine.state
        speed = _cubes(engine, state.iteration - self._first) / (time.perf_counter() - self._epoch_began)
        figures = {} if self.validator is None else self.validator.state.metrics  # empty before its first run
        validation = f", validation {figures['loss']:.5f}" if "loss" in figures else ""
        epoch_seconds = (time.perf_counter() - self._run_began) / (state.epoch - self._run_first)
        logger.info(
            "epoch %d of %d: loss %.5f%s, %.1f cubes/s, at most %s left",
            state.epoch,
            state.max_epochs,
            state.metrics["loss"],
            validation,
            speed,
            duration(epoch_seconds * (state.max_epochs - state.epoch)),
        )


def _cubes(engine: Engine, iterations: int) -> int:
    """Cubes that all ranks see in so many iterations."""
    return iterations * engine.data_loader.batch_size * engine.data_loader.sampler.world_size
