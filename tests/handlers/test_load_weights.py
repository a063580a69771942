"""Weights at an engine's start, the head's included."""

import pytest
import torch
from ignite.engine import Engine

from medgenesis.errors import CheckpointError
from medgenesis.handlers import LoadWeights
from medgenesis.networks import UNet3D


def test_weights_at_the_start_or_an_error_never_a_new_head(tmp_path):
    torch.save(UNet3D(width=2).state_dict(), tmp_path / "one.pt")
    network, other = UNet3D(width=2), UNet3D(width=2, out_channels=3)
    engine = Engine(lambda engine, batch: None)
    LoadWeights(tmp_path / "one.pt", network).attach(engine)
    engine.run([0])
    expected = torch.load(tmp_path / "one.pt", weights_only=True)
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    engine = Engine(lambda engine, batch: None)
    LoadWeights(tmp_path / "one.pt", other).attach(engine)
    with pytest.raises(CheckpointError, match="head"):
        engine.run([0])
