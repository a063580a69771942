"""One line an epoch in a CSV file."""

import csv
import time
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import Evaluator

from medgenesis.handlers.progress import samples_seen, validation_of_epoch
from medgenesis.storage.tables import read_table, write_table


class MetricsCSV:
    """Write epoch, iteration, metrics, learning rate, seconds and cubes/s of every epoch to `path`.

    The learning rate is that of the epoch's last optimizer step.

    Columns of the validation are empty where there was none in an epoch.

    A resumed run keeps the lines of the epochs that its checkpoint has, and drops later ones, which it repeats.

    Args:
        path: the CSV file, written whole each time (beside, then renamed).
        validator: evaluator whose metrics become `val_…` columns, or None.
    """

    def __init__(self, path: str | Path, validator: Evaluator | None = None) -> None:
        self.path, self.validator = Path(path), validator
        self.rows: list[dict[str, Any]] = []
        self._began = 0.0
        self._first = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.epoch_started)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)

    def epoch_started(self, engine: Engine) -> None:
        if not self.rows and self.path.is_file():
            self.rows = self._earlier(engine.state.epoch)
        self._began, self._first = time.perf_counter(), engine.state.iteration

    def _earlier(self, epoch: int) -> list[dict[str, Any]]:
        """The lines of the epochs before; none are lost without a word (ValueError)."""
        try:
            rows = read_table(self.path)
            if not rows and self.path.stat().st_size and not self.path.read_bytes().startswith(b"epoch"):
                rows = [{}]  # bytes that are no heading: a line without an epoch
            return [row for row in rows if int(row["epoch"]) < epoch]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise ValueError(
                f"{self.path}: must be the table of the epochs so far; found lines that are none, damaged ({error}). "
                "Rename or remove it: the run goes on, and its lines begin anew."
            ) from error

    def epoch_completed(self, engine: Engine) -> None:
        if engine.state.rank != 0:
            return
        seconds = time.perf_counter() - self._began
        row = {"epoch": engine.state.epoch, "iteration": engine.state.iteration}
        row |= {name: float(value) for name, value in engine.state.metrics.items()}
        found = validation_of_epoch(engine, self.validator)
        row |= {f"val_{name.removeprefix('val_')}": value for name, value in found.items()}
        row["learning_rate"] = engine.learning_rate
        cubes = samples_seen(engine, engine.state.iteration - self._first)
        row |= {"seconds": seconds, "cubes_per_second": cubes / max(seconds, 1e-9)}
        self.rows.append(row)
        write_table(self.path, self.rows, decimals={"seconds": ".1f", "cubes_per_second": ".1f"})
