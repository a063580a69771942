"""The loss of Models Genesis by hand, and what the engine relies on."""

import numpy as np
import pytest
import torch
from torch import nn

from medgenesis.methods import ModelsGenesis


def batch(*shape):
    rng = np.random.default_rng(0)
    return {name: torch.from_numpy(rng.random(shape, dtype=np.float32)) for name in ("image", "target")}


@pytest.mark.parametrize("shape", [(2, 1, 4, 5, 6), (3, 3, 8, 8)])
def test_loss_is_the_mean_squared_difference_from_the_target(shape):
    network = nn.Sequential(nn.Identity())
    pair = batch(*shape)
    output = ModelsGenesis(network)(pair)
    squares = [(a - b) ** 2 for a, b in zip(pair["image"].flatten().tolist(), pair["target"].flatten().tolist())]  # noqa: B905
    assert output["loss"].item() == pytest.approx(sum(squares) / len(squares), rel=1e-5)
    assert set(output) == {"loss", "restored", *ModelsGenesis.parts}
    assert output["loss"].ndim == 0 and output["restoration"].ndim == 0


def test_gradient_flows_through_the_loss_alone():
    network = nn.Conv3d(1, 1, 1)
    pair = batch(2, 1, 4, 4, 4)
    output = ModelsGenesis(network)(pair)
    assert output["loss"].requires_grad
    assert not output["restored"].requires_grad and not output["restoration"].requires_grad
    output["loss"].backward()
    x, y = pair["image"].double(), pair["target"].double()
    w, b = network.weight.item(), network.bias.item()
    slope = (2 * (w * x + b - y) * x).mean().item()
    assert network.weight.grad.item() == pytest.approx(slope, rel=1e-4)


def test_another_loss_and_restore():
    network = nn.Conv3d(1, 1, 3, padding=1)
    method = ModelsGenesis(network, loss=nn.L1Loss())
    pair = batch(2, 1, 4, 4, 4)
    restored = method.restore(pair["image"])
    assert not restored.requires_grad
    output = method(pair)
    assert torch.equal(output["restored"], restored)
    assert output["loss"].item() == pytest.approx((restored - pair["target"]).abs().mean().item())
    assert method.network is network
