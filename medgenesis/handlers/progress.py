"""A progress bar with the loss, a line an epoch in the log, and a line within an epoch that takes long."""

import logging
import sys
import time
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.engines import Evaluator

from medgenesis.progress import bars_disabled, duration

logger = logging.getLogger(__name__)

_LOG_EVERY = 30.0  # seconds


class Progress:
    """Show the iterations of an epoch as Ignite's progress bar (on a terminal), and log each finished epoch.

    Both show the loss and cubes/s; the line also the validation of its epoch and how long the epochs that are left take
    at most. Where there is no terminal, an epoch that takes long says every half minute how far it is. Rank 0 only.

    Args:
        validator: evaluator whose metrics the log line shows, or None.
    """

    def __init__(self, validator: Evaluator | None = None) -> None:
        self.validator = validator
        self._began = self._epoch_began = self._logged = 0.0
        self._first = 0
        self._run_began, self._run_first = 0.0, 0

    def attach(self, engine: Engine) -> None:
        if engine.state.rank != 0:
            return
        engine.add_event_handler(Events.STARTED, self._start_run)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self._start_iteration)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._log_iteration)
        bar = ProgressBar(persist=False, desc="Epoch", ncols=110, disable=bars_disabled())
        bar.attach(engine, output_transform=lambda output: self._figures(engine, output))
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)

    def _start_run(self, engine: Engine) -> None:
        self._run_began, self._run_first = time.perf_counter(), engine.state.iteration
        self._logged = self._run_began

    def _start_epoch(self, engine: Engine) -> None:
        self._epoch_began, self._first = time.perf_counter(), engine.state.iteration

    def _start_iteration(self, engine: Engine) -> None:
        self._began = time.perf_counter()

    def _figures(self, engine: Engine, output: list[dict[str, Any]]) -> dict[str, float]:
        speed = samples_seen(engine, 1) / (time.perf_counter() - self._began)
        return {"loss": output[0]["loss"].item(), "cubes/s": speed}

    def _log_iteration(self, engine: Engine) -> None:
        state, now = engine.state, time.perf_counter()
        position = (state.iteration - 1) % state.epoch_length + 1
        if now - self._logged < _LOG_EVERY or position == state.epoch_length or sys.stderr.isatty():
            return
        self._logged = now
        logger.info(
            "epoch %d of %d, batch %d of %d: loss %.5f, at most %s left",
            state.epoch,
            state.max_epochs,
            position,
            state.epoch_length,
            state.output[0]["loss"].item(),
            self._left(engine, now),
        )

    def _log(self, engine: Engine) -> None:
        state, now = engine.state, time.perf_counter()
        self._logged = now
        speed = samples_seen(engine, state.iteration - self._first) / (now - self._epoch_began)
        logger.info(
            "epoch %d of %d: loss %.5f%s, %.1f cubes/s, at most %s left",
            state.epoch,
            state.max_epochs,
            state.metrics["loss"],
            self._validation(engine),
            speed,
            self._left(engine, now),
        )

    def _validation(self, engine: Engine) -> str:
        figures = validation_of_epoch(engine, self.validator)
        if "loss" in figures:
            return f", validation {figures['loss']:.5f}"
        return "".join(f", {name.replace('_', ' ')} {float(value):.4f}" for name, value in figures.items())

    def _left(self, engine: Engine, now: float) -> str:
        state = engine.state
        each = (now - self._run_began) / max(state.iteration - self._run_first, 1)
        return duration(each * (state.max_epochs * state.epoch_length - state.iteration))


def validation_of_epoch(engine: Engine, validator: Evaluator | None) -> dict[str, float]:
    """The validator's metrics, if it has run in this epoch; else none."""
    if validator is None or getattr(validator.state, "epoch", None) != engine.state.epoch:
        return {}
    return {name: float(value) for name, value in validator.state.metrics.items()}


def samples_seen(engine: Engine, iterations: int) -> int:
    """Cubes that all ranks see in so many iterations."""
    return iterations * engine.data_loader.batch_size * engine.data_loader.sampler.world_size
