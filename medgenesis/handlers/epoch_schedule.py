"""Learning rates that go on after every epoch."""

from ignite.engine import Engine
from monai.handlers import LrScheduleHandler


class EpochSchedule(LrScheduleHandler):
    """MONAI's handler, but not for a part of an epoch, with which a run of so many steps ends.

    The run may be given more steps later; the epoch then ends another time.
    """

    def __call__(self, engine: Engine) -> None:
        if not self.epoch_level or engine.state.iteration % engine.state.epoch_length == 0:
            super().__call__(engine)
