"""The engine against a plain loop, and what a restart may not change."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.toy import ToyCubes, end_as_if_never_stopped, rows, same, toy_trainer
from ignite.engine import Events

from medgenesis.errors import CheckpointError, OutputError, TrainingError
from medgenesis.handlers import CollapseGuard
from medgenesis.stopping import end_if_asked, ended_by_signals

TOY = Path(__file__).parents[1] / "helpers" / "toy.py"


pytestmark = pytest.mark.usefixtures("one_thread")


def test_equals_a_plain_loop(tmp_path):
    """Accumulation over groups of 2 (7 batches an epoch: the last group has one), clipping, schedule: by hand."""
    network = torch.nn.Conv3d(1, 1, 3, padding=1)
    trainer = toy_trainer(tmp_path, epochs=2, network=network, clip_norm=0.01)
    start = {k: v.clone() for k, v in network.state_dict().items()}
    trainer.run()

    twin = torch.nn.Conv3d(1, 1, 3, padding=1)
    twin.load_state_dict(start)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=5)
    step = torch.optim.lr_scheduler.StepLR(optimizer, 4, 0.5)
    cubes = ToyCubes()
    for epoch in range(2):
        order = np.random.default_rng([3, epoch]).permutation(14)
        batches = [order[i : i + 2] for i in range(0, 14, 2)]
        for group in (batches[0:2], batches[2:4], batches[4:6], batches[6:7]):
            optimizer.zero_grad()
            for number, batch in enumerate(group):
                samples = [cubes[epoch, int(i)] for i in batch]
                image = torch.stack([s["image"] for s in samples])
                target = torch.stack([s["target"] for s in samples])
                (((twin(image) - target) ** 2).mean() / len(group)).backward()
                if number == len(group) - 1:
                    torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.01)
                    optimizer.step()
                warm.step()
                step.step()
    for ours, plain in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-7)


def test_what_a_network_draws_follows_from_seed_and_iteration(tmp_path):
    """Each step draws what PyTorch draws after `manual_seed` with NumPy's hash of (seed, iteration, rank)."""
    drawn = []

    class Noise(torch.nn.Conv3d):
        def forward(self, x):
            drawn.append(torch.rand(3)) if self.training else None
            return super().forward(x)

    toy_trainer(tmp_path, epochs=1, network=Noise(1, 1, 1), seed=5).run()
    for iteration, found in enumerate(drawn, 1):
        torch.manual_seed(int(np.random.SeedSequence([5, iteration, 0]).generate_state(1)[0]))
        assert torch.equal(found, torch.rand(3)), iteration
    assert len(drawn) == 7


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


def test_epoch_metrics_are_means_over_the_batches(tmp_path):
    losses = []

    class Collect:
        def attach(self, engine):
            engine.add_event_handler(
                Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output[0]["loss"].item())
            )

    trainer = toy_trainer(tmp_path, epochs=1, extra=[Collect()])
    trainer.run()
    assert trainer.state.metrics["loss"] == pytest.approx(sum(losses) / 7, rel=1e-6)


def test_validation_loss_is_the_mean_over_cubes(tmp_path):
    """14 cubes in batches of 4: the last batch of 2 must not count like a batch of 4."""
    trainer = toy_trainer(tmp_path, epochs=1)
    trainer.run()
    network = trainer.method.network.eval()
    squares = []
    for index in range(14):
        cube = ToyCubes()[0, index]
        with torch.no_grad():
            squares.append(((network(cube["image"][None]) - cube["target"][None]) ** 2).mean().item())
    assert float(rows(tmp_path)[0]["val_loss"]) == pytest.approx(sum(squares) / 14, rel=1e-4)


def test_other_settings_or_network_do_not_resume(tmp_path):
    toy_trainer(tmp_path, epochs=1).run()
    with pytest.raises(CheckpointError, match=r"last.pt.*accumulation steps"):
        toy_trainer(tmp_path, accumulation_steps=1).run()
    with pytest.raises(CheckpointError, match=r"last.pt.*same network"):
        toy_trainer(tmp_path, network=torch.nn.Conv3d(1, 1, 5, padding=2)).run()


def test_truncated_checkpoint(tmp_path):
    toy_trainer(tmp_path, epochs=1).run()
    last = tmp_path / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="last.pt"):
        toy_trainer(tmp_path).run()


def test_output_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file: must be a folder; found a file"):
        toy_trainer(tmp_path / "file" / "run").run()


def test_disk_full_while_saving_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    toy_trainer(tmp_path, epochs=1).run()
    before = (tmp_path / "last.pt").read_bytes()
    save = torch.save

    def full(obj, file, *args, **kwargs):
        save(obj, file, *args, **kwargs)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match="No space left"):
        toy_trainer(tmp_path).run()
    assert (tmp_path / "last.pt").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [".running", "best.pt", "last.pt", "metrics.csv", "models"]


def test_guard_stops_at_a_loss_that_is_not_finite(tmp_path):
    network = torch.nn.Conv3d(1, 1, 1)
    torch.nn.init.constant_(network.weight, float("nan"))
    with pytest.raises(TrainingError, match="loss: must be finite; found nan at iteration 1"):
        toy_trainer(tmp_path, network=network, extra=[CollapseGuard()]).run()


def test_guard_stops_a_collapsed_output_and_leaves_a_healthy_one(tmp_path):
    toy_trainer(tmp_path / "healthy", network=torch.nn.Conv3d(1, 1, 3, padding=1), extra=[CollapseGuard()]).run()
    dead = torch.nn.Conv3d(1, 1, 1)
    torch.nn.init.zeros_(dead.weight)
    with pytest.raises(TrainingError, match="collapsed to a constant at iteration 20"):
        toy_trainer(tmp_path / "dead", network=dead, lr=0.0, extra=[CollapseGuard(patience=20)]).run()


def test_loader_without_seeded_sampler(tmp_path):
    from torch.utils.data import DataLoader

    from medgenesis.engines import PretextTrainer

    method = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(method.parameters(), 0.1)
    with pytest.raises(ValueError, match="SeededSampler"):
        PretextTrainer("cpu", 1, DataLoader([0, 1]), method, optimizer)


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
