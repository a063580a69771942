"""Batches whose gradients are added up for one step: schedules count the steps, and checkpoints are written at them."""

import warnings

import pytest
import torch
from helpers.toy import rows, scheduled_rates, toy_trainer

from medgenesis.engines import steps_an_epoch
from medgenesis.handlers import Checkpoints
from medgenesis.handlers.epoch_schedule import EpochSchedule

pytestmark = pytest.mark.usefixtures("one_thread")
BATCHES, EPOCHS = 7, 2  # of the toy run


def ends_of_steps(accumulation):
    """The batches, counted from 1 over both epochs, that end with an optimizer step."""
    places = [(epoch * BATCHES + place, place) for epoch in range(EPOCHS) for place in range(1, BATCHES + 1)]
    return [batch for batch, place in places if place % accumulation == 0 or place == BATCHES]


@pytest.mark.parametrize("accumulation", [1, 2, 3, 9])
@pytest.mark.parametrize("every", [1, 2, 3, 5, 20])
def test_each_multiple_is_saved_at_the_next_step(tmp_path, monkeypatch, accumulation, every):
    saved = []
    monkeypatch.setattr(Checkpoints, "_save", lambda self, engine, name: saved.append(engine.state.iteration))
    toy_trainer(tmp_path, epochs=EPOCHS, accumulation_steps=accumulation, every=every).run()
    ends = ends_of_steps(accumulation)
    multiples = range(every, EPOCHS * BATCHES + 1, every)
    wanted = {min(end for end in ends if end >= multiple) for multiple in multiples} | {7, 14}  # and after each epoch
    assert set(saved) == wanted


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_a_warm_up_counts_optimizer_steps(tmp_path, accumulation):
    """The rates are those of a plain loop that steps optimizer and schedule together; PyTorch warns of nothing."""
    schedules, used = [], []

    class Noted(torch.optim.SGD):
        def step(self, *arguments):
            used.append(self.param_groups[0]["lr"])
            return super().step(*arguments)

    def schedule(optimizer):
        optimizer.__class__ = Noted
        schedules.append(scheduled_rates(optimizer))
        return schedules[-1]

    trainer = toy_trainer(tmp_path, epochs=EPOCHS, accumulation_steps=accumulation, scheduled=False)
    trainer.lr_scheduler = schedule(trainer.optimizer)
    EpochSchedule(trainer.lr_scheduler, epoch_level=False, print_lr=False).attach(trainer)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Detected call of `lr_scheduler.step")
        trainer.run()

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    plain, wanted = scheduled_rates(optimizer), []
    for _ in ends_of_steps(accumulation):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plain.step()
    assert used == wanted
    assert steps_an_epoch(BATCHES, accumulation) * EPOCHS == len(used)
    assert float(rows(tmp_path)[-1]["learning_rate"]) == pytest.approx(wanted[-1])
