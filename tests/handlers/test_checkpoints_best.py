"""Which epoch's network is the best, by what a validator has found."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medgenesis.handlers import Checkpoints


def validated(metrics):
    """The epochs that are the best by these key metrics (None: not validated), as MONAI's evaluator counts them."""
    state = SimpleNamespace(epoch=0, best_metric=-1, best_metric_epoch=-1, key_metric_name="dice", metrics={})
    handler, best = Checkpoints("unused", SimpleNamespace(state=state)), []
    for epoch, metric in enumerate(metrics, 1):
        if metric is not None:
            state.epoch, state.metrics = epoch, {"dice": metric}
            if metric > state.best_metric:
                state.best_metric, state.best_metric_epoch = metric, epoch
        if handler._is_best(epoch):
            best.append(epoch)
    return best


@pytest.mark.parametrize(
    ("metrics", "best"),
    [
        ([0.1, 0.3, 0.2, 0.4], [1, 2, 4]),
        ([None, 0.1, None, None], [2]),
        ([0.0, None, 0.0, 0.2, 0.0], [1, 3, 4]),  # of networks that know nothing, the one that has learnt longest
    ],
)
def test_the_best_so_far(metrics, best):
    assert validated(metrics) == best


def test_what_is_no_number_is_said_and_never_the_best(caplog):
    with caplog.at_level(logging.WARNING):
        assert validated([0.2, float("nan"), 0.3]) == [1, 3]
    assert "dice is not a number after epoch 2" in caplog.text


def test_a_best_metric_of_numpy_is_saved_as_a_number(tmp_path):
    """Area under the curve is NumPy's; torch reads no NumPy scalar with `weights_only=True`."""
    state = SimpleNamespace(best_metric=np.float64(0.75), best_metric_epoch=3)
    engine = SimpleNamespace(state=SimpleNamespace(rank=0), method=torch.nn.Identity())
    engine.checkpoint = lambda: {"method": {"w": torch.ones(1)}}
    Checkpoints(tmp_path, SimpleNamespace(state=state))._save(engine, "last.pt")
    assert torch.load(tmp_path / "last.pt", weights_only=True)["best_loss"] == 0.75
