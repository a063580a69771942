"""Weights in a file of their own; an earlier file is never harmed."""

import pytest
import torch
from ignite.engine import Engine, Events, State

from medgenesis.errors import CheckpointError
from medgenesis.handlers import SaveWeights


def an_engine(rank=0):
    """An engine that has completed nothing, with the state of a MONAI trainer."""
    engine = Engine(lambda engine, batch: None)
    engine.state = State(rank=rank, epoch=3, iteration=0)
    return engine


def completed(handler):
    engine = an_engine()
    handler.attach(engine)
    engine.fire_event(Events.COMPLETED)


def test_the_weights_at_the_end(tmp_path):
    network = torch.nn.Linear(2, 1)
    completed(SaveWeights(tmp_path / "new" / "model.pt", network))
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
    engine = an_engine(rank=1)
    SaveWeights(tmp_path / "model.pt", torch.nn.Linear(2, 1)).attach(engine)
    engine.fire_event(Events.COMPLETED)
    assert list(tmp_path.iterdir()) == []
