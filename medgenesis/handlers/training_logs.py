"""What every training with labels records and says: one handler, as `PretextHandlers` for pre-training."""

from pathlib import Path

from ignite.engine import Engine, Events
from monai.engines import Evaluator

from medgenesis.handlers.metrics_csv import MetricsCSV
from medgenesis.handlers.progress import Progress
from medgenesis.handlers.tensorboard import TensorBoard
from medgenesis.handlers.written import say_written
from medgenesis.report import write_run_report


class TrainingLogs:
    """Progress, `metrics.csv`, TensorBoard and `report.html` of a training with labels by a `PretextTrainer`.

    List it behind the `ValidationHandler`, so that it sees the validation of its epoch.

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

    def attach(self, engine: Engine) -> None:
        for handler in self.handlers:
            handler.attach(engine)
        engine.add_event_handler(Events.COMPLETED, self._completed)

    def _completed(self, engine: Engine) -> None:
        if engine.state.rank == 0:
            page = write_run_report(self.folder, self.title)
            say_written(self.folder / "metrics.csv", page)
