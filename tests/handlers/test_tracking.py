"""Training records beside our own: MLflow through MONAI's handler, and Weights & Biases."""

import sys
from types import SimpleNamespace

import pytest
import torch
from monai.data import DataLoader
from monai.handlers import from_engine

from medgenesis.data import SeededSampler
from medgenesis.engines import PretextTrainer
from medgenesis.errors import MissingPackageError
from medgenesis.handlers import WeightsAndBiases
from medgenesis.handlers.epoch_schedule import EpochSchedule
from medgenesis.methods import Supervised
from medgenesis.storage.run_record import record_start


class Items(list):
    """Taken by the keys of a `SeededSampler`, (epoch, index)."""

    def __getitem__(self, key):
        return super().__getitem__(key[1])


def trained(*handlers, epochs=2):
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 1, 1)
    items = Items({"image": torch.rand(1, 4, 4, 4), "label": torch.rand(1, 4, 4, 4)} for _ in range(4))
    loader = DataLoader(items, batch_size=2, sampler=SeededSampler(len(items), 0))
    method = Supervised(network, torch.nn.functional.mse_loss)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    rates = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    handlers = [EpochSchedule(rates, print_lr=False), *handlers]  # first, as in a bundle
    trainer = PretextTrainer("cpu", epochs, loader, method, optimizer, rates, handlers)
    trainer.run()
    return trainer


def test_monais_mlflow_handler_records_the_loss(tmp_path):
    """As `--tracking mlflow` makes it; it stopped at the engine's output, a dictionary."""
    pytest.importorskip("mlflow", reason="the extra `tracking` is not installed")
    pytest.importorskip("sqlalchemy", reason="MLflow's local store needs SQLAlchemy")
    from mlflow import MlflowClient
    from monai.handlers import MLFlowHandler

    uri = f"sqlite:///{tmp_path}/mlruns.db"
    handler = MLFlowHandler(
        uri, tag_name="train_loss", output_transform=from_engine(["loss"], first=True), close_on_complete=True
    )
    trainer = trained(handler)
    client = MlflowClient(uri)
    (run,) = client.search_runs(["1"])
    losses = [point.value for point in client.get_metric_history(run.info.run_id, "train_loss")]
    assert run.info.status == "FINISHED" and len(losses) == 4
    assert losses[-1] == pytest.approx(trainer.state.output[0]["loss"].item())
    assert run.data.metrics["loss"] == pytest.approx(sum(losses[2:]) / 2)


def test_weights_and_biases_gets_the_figures_and_what_made_the_run(tmp_path, monkeypatch):
    calls = SimpleNamespace(init=None, points=[], finished=0)

    class Run:
        def log(self, figures, step):
            calls.points.append((step, figures))

        def finish(self):
            calls.finished += 1

    def init(**settings):
        calls.init = settings
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    record_start(tmp_path, {"width": 8})
    trainer = trained(WeightsAndBiases(tmp_path, project="mine", name="first", every=1))
    assert (calls.init["project"], calls.init["name"], calls.finished) == ("mine", "first", 1)
    assert calls.init["config"]["config"] == {"width": 8} and "torch" in calls.init["config"]["versions"]
    batches = [step for step, figures in calls.points if "batch/loss" in figures]
    epochs = [figures for _, figures in calls.points if "train/loss" in figures]
    assert batches == [1, 2, 3, 4] and [figures["epoch"] for figures in epochs] == [1, 2]
    assert epochs[-1]["train/loss"] == pytest.approx(trainer.state.metrics["loss"])
    assert [figures["learning_rate"] for figures in epochs] == [0.1, 0.05]  # used in each, not to be used next


def test_without_wandb_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingPackageError, match="pip install"):
        trained(WeightsAndBiases(tmp_path))
