"""The batch norm of the published networks, against its formula."""

import pytest
import torch

from medgenesis.networks import UNet3D
from medgenesis.networks.normalisation import AlwaysBatchNorm3d


def by_formula(x, weight, bias, eps=1e-5):
    rows = x.transpose(0, 1).flatten(1)
    mean, variance = rows.mean(1), rows.var(1, unbiased=False)
    shape = (1, -1, 1, 1, 1)
    return (x - mean.view(shape)) / (variance.view(shape) + eps).sqrt() * weight.view(shape) + bias.view(shape)


@pytest.mark.parametrize("training", [True, False])
def test_statistics_of_the_batch_at_hand_always(training):
    torch.manual_seed(0)
    layer = AlwaysBatchNorm3d(3).train(training)
    torch.nn.init.uniform_(layer.weight)
    torch.nn.init.uniform_(layer.bias)
    mean, variance = torch.zeros(3), torch.ones(3)
    with torch.no_grad():
        for _ in range(3):
            x = torch.randn(2, 3, 4, 5, 6) * 3 + 1
            assert torch.allclose(layer(x), by_formula(x, layer.weight, layer.bias), atol=1e-5)
            rows = x.transpose(0, 1).flatten(1)
            mean = 0.9 * mean + 0.1 * rows.mean(1)
            variance = 0.9 * variance + 0.1 * rows.var(1, unbiased=True)
    assert torch.allclose(layer.running_mean, mean, atol=1e-5)
    assert torch.allclose(layer.running_var, variance, atol=1e-4)
    assert layer.num_batches_tracked == 0


def test_network_depends_on_its_neighbours_in_the_batch_only_in_that_mode():
    torch.manual_seed(0)
    x, other = torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16) * 5
    plain, always = UNet3D(width=2).eval(), UNet3D(width=2, norm="batch_always").eval()
    always.load_state_dict(plain.state_dict())  # same keys
    with torch.no_grad():
        assert torch.allclose(plain(torch.cat([x, other]))[:1], plain(x), atol=1e-6)
        assert not torch.allclose(always(torch.cat([x, other]))[:1], always(x), atol=1e-3)
        assert torch.allclose(always(x), plain.train()(x), atol=1e-6)
