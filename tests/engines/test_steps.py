"""A number of steps is kept to, also where it ends in the middle of an epoch."""

import os
import signal
from types import SimpleNamespace

import pytest
import torch
from helpers.toy import rows, same, toy_trainer
from ignite.engine import Events

from medgenesis.handlers.epoch_schedule import EpochSchedule
from medgenesis.storage.checkpoint import read_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


class WeightsAt:
    """Copies the weights behind each optimizer step; ends the process' run by a signal at one of them, if asked."""

    def __init__(self, stop_at=None):
        self.weights, self.stop_at = [], stop_at

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine):
        if engine.at_step:
            self.weights.append({name: value.clone() for name, value in engine.method.state_dict().items()})
            if len(self.weights) == self.stop_at:
                os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("steps", [1, 4, 5, 8, 10])
def test_the_weights_are_those_after_so_many_steps_of_a_longer_training(tmp_path, steps):
    """Seven batches an epoch, two a step: four steps an epoch, the last of one batch."""
    longer, own = WeightsAt(), WeightsAt()
    toy_trainer(tmp_path / "longer", extra=[longer]).run()
    trainer = toy_trainer(tmp_path / "own", epochs=-(-steps // 4), extra=[own], steps=steps)
    trainer.run()
    assert len(longer.weights) == 12 and len(own.weights) == steps
    same(trainer.method.state_dict(), longer.weights[steps - 1])
    last = rows(tmp_path / "own")[-1]
    assert int(last["epoch"]) == -(-steps // 4) and last["val_loss"]  # a part of an epoch is validated too
    exported = torch.load(tmp_path / "own" / "models" / "pretrained.pt", weights_only=True)
    assert exported and read_checkpoint(tmp_path / "own" / "last.pt")["iteration"] == trainer.state.iteration
    again = toy_trainer(tmp_path / "own", epochs=-(-steps // 4), extra=[own], steps=steps)
    again.run()  # nothing is left to do
    assert len(own.weights) == steps
    same(again.method.state_dict(), trainer.method.state_dict())


@pytest.mark.parametrize("stop_at", [3, 5, 6])
def test_a_stopped_one_ends_at_the_same_step(tmp_path, stop_at):
    """5 of 6 is the first step of the second epoch; at 6 what ends the epoch is still to come."""
    whole = toy_trainer(tmp_path / "whole", epochs=2, steps=6)
    whole.run()
    with pytest.raises(SystemExit):
        toy_trainer(tmp_path / "stopped", epochs=2, steps=6, extra=[WeightsAt(stop_at)]).run()
    again = toy_trainer(tmp_path / "stopped", epochs=2, steps=6)
    again.run()
    same(again.method.state_dict(), whole.method.state_dict())
    assert rows(tmp_path / "stopped") == rows(tmp_path / "whole")


def test_an_ended_one_goes_on_to_more_steps(tmp_path):
    longer = toy_trainer(tmp_path / "longer", epochs=3, steps=9)
    longer.run()
    toy_trainer(tmp_path / "own", epochs=2, steps=6).run()
    again = toy_trainer(tmp_path / "own", epochs=3, steps=9)
    again.run()
    same(again.method.state_dict(), longer.method.state_dict())


def test_a_schedule_goes_on_after_whole_epochs_alone():
    """6 steps are an epoch of 4 and half of one, which ends another time where more steps are asked for."""
    rates = torch.optim.lr_scheduler.StepLR(torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0), 1, 0.5)
    schedule, found = EpochSchedule(rates, print_lr=False), []
    for iteration in (4, 6, 8):
        schedule(SimpleNamespace(state=SimpleNamespace(iteration=iteration, epoch_length=4)))
        found.append(rates.get_last_lr()[0])
    assert found == [0.5, 0.5, 0.25]
