"""A run that is killed, or stopped by a signal, and started again ends as if it had never stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.toy import end_as_if_never_stopped, rows, same, toy_trainer
from ignite.engine import Events

from medgenesis.stopping import end_if_asked, ended_by_signals

TOY = Path(__file__).parents[1] / "helpers" / "toy.py"

pytestmark = pytest.mark.usefixtures("one_thread")


class At:
    """Do something at an event of one iteration, before the checkpoint handler is asked."""

    def __init__(self, event, iteration, act):
        self.event, self.iteration, self.act = event, iteration, act

    def attach(self, engine):
        engine.add_event_handler(self.event, self)

    def __call__(self, engine):
        if engine.state.iteration == self.iteration:
            self.act()


def kill():
    """As power loss would: nothing is saved beyond what was."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("every", [None, 1])
@pytest.mark.parametrize("killed_at", [1, 7, 8, 10, 14, 20])
def test_resume_is_exact(tmp_path, killed_at, every):
    killed = toy_trainer(tmp_path / "stopped", extra=[At(Events.ITERATION_COMPLETED, killed_at, kill)], every=every)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    end_as_if_never_stopped(tmp_path)


def test_resume_is_exact_after_a_kill_between_an_epochs_last_batch_and_its_end(tmp_path):
    """The checkpoint of iteration 7 must not count epoch 1 as done: its validation and its table's line are to come."""
    killed = toy_trainer(tmp_path / "stopped", extra=[At(Events.EPOCH_COMPLETED, 7, kill)], every=1)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    end_as_if_never_stopped(tmp_path)


class Sometimes:
    """A figure that is made every second epoch and stands in between, as that of the frozen probe."""

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine):
        if engine.state.epoch % 2 == 0 or "figure" not in engine.state.metrics:
            engine.state.metrics["figure"] = float(engine.state.epoch)


@pytest.mark.parametrize("killed_at", [8, 15])
def test_a_figure_that_stands_for_several_epochs_outlives_a_restart(tmp_path, killed_at):
    kill_it = At(Events.ITERATION_COMPLETED, killed_at, kill)
    killed = toy_trainer(tmp_path / "stopped", epochs=4, extra=[Sometimes(), kill_it])
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    end_as_if_never_stopped(tmp_path, extra=[Sometimes()])


@pytest.mark.parametrize(
    ("event", "at"),
    [
        (Events.ITERATION_COMPLETED, 6),
        (Events.ITERATION_COMPLETED, 7),
        (Events.EPOCH_COMPLETED, 7),
        (Events.ITERATION_COMPLETED, 21),
    ],
)
def test_sigterm_around_the_end_of_an_epoch(tmp_path, event, at):
    warned = At(event, at, lambda: os.kill(os.getpid(), signal.SIGTERM))
    stopped = toy_trainer(tmp_path / "stopped", extra=[warned])
    with pytest.raises(SystemExit) as status:
        stopped.run()
    assert status.value.code == 143 and stopped.state.iteration == at
    end_as_if_never_stopped(tmp_path)


@pytest.mark.slow
def test_sigterm_saves_inside_an_epoch_and_the_same_command_continues(tmp_path):
    whole = toy_trainer(tmp_path / "whole")
    whole.run()
    command = [sys.executable, str(TOY), str(tmp_path / "stopped")]
    with subprocess.Popen([*command, "slow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.strip() == "9":  # the second batch of the second epoch: its group is complete only at 9
                os.kill(process.pid, signal.SIGTERM)
        assert process.wait() == 143, process.stderr.read()
    stopped = torch.load(tmp_path / "stopped" / "last.pt", weights_only=True)["iteration"]
    assert 9 <= stopped < 14
    subprocess.run(command, check=True, capture_output=True)
    last = torch.load(tmp_path / "stopped" / "last.pt", weights_only=True)
    assert last["iteration"] == 21
    same(last["method"], whole.method.state_dict())
    assert rows(tmp_path / "stopped") == rows(tmp_path / "whole")


def test_finished_run_started_again_changes_nothing(tmp_path):
    toy_trainer(tmp_path).run()
    before = (tmp_path / "best.pt").read_bytes()
    again = toy_trainer(tmp_path)
    again.run()
    assert again.state.iteration == 21 and (tmp_path / "best.pt").read_bytes() == before


def test_early_stopping_stays_stopped_after_a_restart(tmp_path):
    settings = dict(epochs=30, patience=2, lr=0.0)  # nothing is learnt: only batch-norm statistics move
    first = toy_trainer(tmp_path, **settings)
    first.run()
    assert 3 <= first.state.epoch < 30
    again = toy_trainer(tmp_path, **settings)
    again.run()
    assert again.state.iteration == first.state.iteration


def test_ctrl_c_saves_and_the_same_command_continues(tmp_path):
    asked = At(Events.ITERATION_COMPLETED, 9, lambda: os.kill(os.getpid(), signal.SIGINT))
    stopped = toy_trainer(tmp_path / "stopped", extra=[asked])
    with pytest.raises(SystemExit) as status:
        stopped.run()
    assert status.value.code == 130
    assert torch.load(tmp_path / "stopped" / "last.pt", weights_only=True)["iteration"] == 9  # its group is complete
    end_as_if_never_stopped(tmp_path)


@pytest.mark.parametrize("number, ended", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_after_the_last_step_ends_what_trains_again(tmp_path, number, ended):
    """Too late for the training, which is finished, but not for what comes after it."""
    asked = At(Events.COMPLETED, 21, lambda: os.kill(os.getpid(), number))
    trainer, finished = toy_trainer(tmp_path, extra=[asked]), []
    with pytest.raises(ended), ended_by_signals(tmp_path):
        trainer.run()
        finished.append(trainer.state.iteration)
        end_if_asked()
        finished.append("more")
    assert finished == [21]


def test_ctrl_c_twice_stops_at_once(tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        for _ in range(500):  # two that come as one are one
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                break
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    asked = At(Events.ITERATION_COMPLETED, 3, twice)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs behind a shell's & ignores Ctrl-C
    try:
        with pytest.raises(KeyboardInterrupt):
            toy_trainer(tmp_path, extra=[asked]).run()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
