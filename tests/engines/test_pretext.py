"""The engine against a plain loop, its figures, and what it refuses."""

import numpy as np
import pytest
import torch
from helpers.toy import ToyCubes, rows, toy_trainer
from ignite.engine import Events

from medgenesis.errors import CheckpointError, OutputError, TrainingError
from medgenesis.handlers import CollapseGuard

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
