"""The head on all levels: a linear classifier of enlarged maps, by another library, and the networks that have it."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from medgenesis.errors import CheckpointError
from medgenesis.methods import Supervised
from medgenesis.networks import SparseUNet3D, UNet3D, UNet25D, YNet3D, kept_head_levels
from medgenesis.networks.layers import network_layers
from medgenesis.networks.level_head import LevelHead
from medgenesis.networks.voxel_probe import FeatureLevels
from medgenesis.weights import load_pretrained
from medgenesis.weights.own_networks import own_network

NETWORKS = {
    3: (lambda levels: UNet3D(1, 3, 2, activation=None, head_levels=levels), (2, 1, 16, 24, 16)),
    2: (lambda levels: UNet25D("resnet18_w8", 3, 3, head_levels=levels), (2, 3, 64, 96)),
}


def made(axes, levels):
    torch.manual_seed(0)
    make, shape = NETWORKS[axes]
    return make(levels).eval(), torch.rand(shape, generator=torch.Generator().manual_seed(1))


def enlarged(one, sides):
    """By SciPy: linear between the middles of voxels, the border's value beyond."""
    at = [(np.arange(side) + 0.5) * small / side - 0.5 for side, small in zip(sides, one.shape, strict=True)]
    return map_coordinates(one, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")


@pytest.mark.parametrize("axes", NETWORKS)
def test_it_is_a_linear_classifier_of_the_enlarged_maps(axes):
    network, x = made(axes, "all")
    with torch.no_grad():
        maps, found = network.head_maps(x), network(x)
        levels = FeatureLevels(network)(x)[1:]
    assert all(torch.equal(one, other) for one, other in zip(maps, levels, strict=True))
    weights = torch.cat([conv.weight.flatten(1) for conv in network.head.convs], 1).detach().numpy()
    features = [enlarged(channel.numpy(), x.shape[2:]) for one in maps for channel in one[0]]
    expected = np.tensordot(weights, np.stack(features), 1)
    expected += network.head.convs[-1].bias.detach().numpy().reshape(-1, *(1,) * axes)
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


@pytest.mark.parametrize("axes", NETWORKS)
def test_the_head_of_the_last_level_is_as_before(axes):
    network, x = made(axes, "last")
    with torch.no_grad():
        (last,) = network.head_maps(x)
        assert torch.equal(network.head(last), network(x))
    assert not any("convs" in key for key in network.head.state_dict())


@pytest.mark.parametrize("axes", NETWORKS)
def test_pretrained_weights_fill_all_but_its_head(axes):
    pretrained, _ = made(axes, "last")
    network, _ = made(axes, "all")
    report = load_pretrained(network, pretrained.state_dict())
    assert set(report.fresh) == {key for key in network.state_dict() if key.startswith("head.")}
    assert torch.equal(next(network.encoder.parameters()), next(pretrained.encoder.parameters()))
    again = load_pretrained(made(axes, "all")[0], network.state_dict(), skip_head="never")
    assert again.fresh == ()
    with pytest.raises(CheckpointError, match="checkpoint of another network"):
        load_pretrained(network, pretrained.state_dict(), skip_head="never")


@pytest.mark.parametrize("axes", NETWORKS)
@pytest.mark.parametrize("levels", ["last", "all"])
def test_a_state_dict_tells_its_head(axes, levels):
    found = own_network(made(axes, levels)[0].state_dict(), "file")
    assert found.report.complete and found.settings.get("head_levels", "last") == levels


def test_the_setting_that_is_kept_is_that_of_the_network():
    assert [kept_head_levels(made(3, levels)[0], levels) for levels in ("last", "all")] == ["last", "all"]
    assert kept_head_levels(torch.nn.Conv3d(1, 1, 1), "last") == "last"
    for other in (torch.nn.Conv3d(1, 1, 1), YNet3D(width=2), SparseUNet3D(width=2)):
        with pytest.raises(ValueError, match=f"head_levels: must be last with {type(other).__name__}, .* found 'all'"):
            kept_head_levels(other, "all")


@pytest.mark.parametrize("axes", NETWORKS)
def test_every_weight_learns_and_parts_are_known(axes):
    network, x = made(axes, "all")
    network(x).square().mean().backward()
    assert all(weight.grad is not None for weight in network.head.parameters())
    assert [part for part, _ in network_layers(network)][-1] == "head"
    method = Supervised(network, torch.nn.functional.mse_loss)
    method.freeze(["encoder", "decoder"])
    learnt = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert learnt == {name for name, _ in network.named_parameters() if name.startswith("head.")}


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="head_levels: must be one of last, all; found 'first'"):
        UNet3D(head_levels="first")
    with pytest.raises(ValueError, match="head_levels: must be one of last, all; found None"):
        UNet25D("resnet18", head_levels=None)


def test_softmax_is_over_channels():
    head = LevelHead([2, 2], 4, "softmax", axes=2)
    found = head([torch.rand(1, 2, 4, 4), torch.rand(1, 2, 8, 8)])
    torch.testing.assert_close(found.sum(1), torch.ones(1, 8, 8))
