"""A progress bar with loss and cubes a second."""

import time

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar


class Progress:
    """Ignite's progress bar over the iterations of an epoch, showing the batch's loss and cubes/s; rank 0 only."""

    def __init__(self) -> None:
        self._began = 0.0

    def attach(self, engine: Engine) -> None:
        if engine.state.rank != 0:
            return
        engine.add_event_handler(Events.ITERATION_STARTED, self._start)
        bar = ProgressBar(persist=True, desc="Epoch", ncols=110)
        bar.attach(engine, output_transform=self._figures, metric_names=None)
        self._engine = engine

    def _start(self, engine: Engine) -> None:
        self._began = time.perf_counter()

    def _figures(self, output: dict) -> dict[str, float]:
        cubes = self._engine.data_loader.batch_size * self._engine.data_loader.sampler.world_size
        return {"loss": output["loss"].item(), "cubes/s": cubes / (time.perf_counter() - self._began)}
