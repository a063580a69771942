"""Weights in a file of their own: only the best where asked, an earlier file never harmed."""

import pytest
import torch
from ignite.engine import Engine, Events, State

from medgenesis.errors import CheckpointError
from medgenesis.handlers import SaveWeights


def engine_at(epoch, best):
    """An engine that has completed nothing, with the state of a MONAI evaluator."""
    engine = Engine(lambda engine, batch: None)
    engine.state = State(rank=0, epoch=epoch, best_metric_epoch=best, iteration=0)
    return engine


def completed(handler, epoch=3, best=3):
    engine = engine_at(epoch, best)
    handler.attach(engine)
    engine.fire_event(Events.COMPLETED)


@pytest.mark.parametrize(("best_only", "best", "saved"), [(True, 3, True), (True, 2, False), (False, 2, True)])
def test_the_best_or_the_last(tmp_path, best_only, best, saved):
    network = torch.nn.Linear(2, 1)
    completed(SaveWeights(tmp_path / "new" / "model.pt", network, best_only), best=best)
    assert (tmp_path / "new" / "model.pt").exists() == saved
    if saved:
        found = torch.load(tmp_path / "new" / "model.pt", weights_only=True)
        assert torch.equal(found["weight"], network.weight)


def test_a_write_that_fails_leaves_the_earlier_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    path.write_bytes(b"earlier")

    def half(obj, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(CheckpointError, match="model.pt: .*No space left"):
        completed(SaveWeights(path, torch.nn.Linear(2, 1)))
    assert path.read_bytes() == b"earlier" and [file.name for file in tmp_path.iterdir()] == ["model.pt"]


def test_other_processes_write_nothing(tmp_path):
    engine = engine_at(1, 1)
    engine.state.rank = 1
    SaveWeights(tmp_path / "model.pt", torch.nn.Linear(2, 1)).attach(engine)
    engine.fire_event(Events.COMPLETED)
    assert list(tmp_path.iterdir()) == []
