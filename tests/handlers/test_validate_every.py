"""Which epochs are validated, against a list written by hand for any length and interval."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine
from ignite.metrics import Average
from monai.data import DataLoader
from monai.engines import Evaluator, SupervisedEvaluator

from medgenesis.data import SeededSampler
from medgenesis.engines import PretextTrainer, epochs_for
from medgenesis.handlers import SupervisedHandlers
from medgenesis.handlers.validate_every import ValidateEvery
from medgenesis.methods import Supervised
from medgenesis.storage.checkpoint import read_checkpoint
from medgenesis.storage.tables import read_table
from medgenesis.weights.origin import kept_origin, set_origin


class Noting(Evaluator):
    """Notes the epochs that it is asked to validate."""

    def __init__(self):
        self.epochs = []

    def run(self, epoch):
        self.epochs.append(epoch)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 25), st.integers(1, 30))
def test_each_interval_and_the_last_epoch_once(epochs, interval):
    validator, engine = Noting(), Engine(lambda engine, batch: None)
    ValidateEvery(interval, validator).attach(engine)
    engine.run([0], max_epochs=epochs)
    expected = list(range(interval, epochs + 1, interval))
    assert validator.epochs == (expected if epochs in expected else [*expected, epochs])


class Items(list):
    def __getitem__(self, key):
        return super().__getitem__(key[1])


@pytest.mark.usefixtures("one_thread")
def test_the_last_weights_of_a_number_of_steps_can_be_the_best(tmp_path):
    torch.manual_seed(0)
    items = Items({"image": torch.rand(1, 4, 4, 4), "label": torch.ones(1, 4, 4, 4)} for _ in range(4))
    network = torch.nn.Conv3d(1, 1, 1)
    error = Average(lambda found: -float((found[0]["pred"] - 1).abs().mean()))  # lower with every step
    plain = DataLoader(list(items), batch_size=1)
    evaluator = SupervisedEvaluator("cpu", plain, network, key_val_metric={"score": error})
    loader = DataLoader(items, batch_size=2, sampler=SeededSampler(len(items), 0))
    epochs = epochs_for(99, 9, len(loader))  # 9 steps of 2 an epoch
    handlers = SupervisedHandlers(tmp_path, evaluator, val_interval=3, export=tmp_path / "model.pt")
    set_origin(network, {"name": "models-genesis", "terms": "non-commercial"})
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    trainer = PretextTrainer(
        "cpu", epochs, loader, Supervised(network, torch.nn.MSELoss()), optimizer, train_handlers=[handlers]
    )
    trainer.run()
    rows = read_table(tmp_path / "metrics.csv")
    assert [row["epoch"] for row in rows if row["val_score"]] == ["3", "5"]
    for file in ("model.pt", "last.pt", "best.pt"):  # the terms of what it began with stay with each
        origin = kept_origin(read_checkpoint(tmp_path / file))
        assert origin == {"name": "models-genesis", "terms": "non-commercial", "trained_further": True}
    last = network.state_dict()
    assert all(torch.equal(value, last[name]) for name, value in read_checkpoint(tmp_path / "model.pt").items())
