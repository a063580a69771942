"""Learning rates that go on after every epoch, after its validation, or after every optimizer step."""

from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.handlers import LrScheduleHandler
from torch.optim.lr_scheduler import ReduceLROnPlateau


class EpochSchedule(LrScheduleHandler):
    """MONAI's handler, but not for a part of an epoch, with which a run of so many steps ends.

    The run may be given more steps later; the epoch then ends another time. With `epoch_level=False` the schedule goes
    on after every optimizer step, not after each batch whose gradients are added up for one.
    """

    def __call__(self, engine: Engine) -> None:
        whole = engine.state.iteration % engine.state.epoch_length == 0
        if whole if self.epoch_level else engine.at_step:
            super().__call__(engine)


class PlateauSchedule:
    """Step a plateau by the key metric of each validation at its interval; attached behind what validates.

    Not by the one with which a run ends between two of them, or within an epoch: the run may be given more epochs
    later, and then has the rates of one that was never ended.

    Args:
        lr_scheduler: the plateau.
        validator: the evaluator.
        interval: epochs between validations.
    """

    def __init__(self, lr_scheduler: ReduceLROnPlateau, validator: Evaluator, interval: int) -> None:
        self.lr_scheduler, self.validator, self.interval = lr_scheduler, validator, interval

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.iteration % engine.state.epoch_length == 0:
            self.lr_scheduler.step(self.validator.state.metrics[self.validator.state.key_metric_name])
