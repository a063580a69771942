"""Batches on a device, in channels-last order where asked, for slabs and volumes alike."""

import torch
from torch import nn

from medgenesis.engines.batches import ready, weights_in_channels_last


def test_slabs_and_volumes_are_laid_out_and_nothing_else_changes():
    batch = {"slab": torch.rand(2, 3, 4, 5), "cube": torch.rand(2, 3, 4, 5, 6), "class": torch.arange(2), "name": ["a"]}
    moved = ready(batch, None, torch.device("cpu"), channels_last=True)
    assert moved["slab"].is_contiguous(memory_format=torch.channels_last)
    assert moved["cube"].is_contiguous(memory_format=torch.channels_last_3d)
    assert moved["name"] == ["a"] and all(torch.equal(moved[name], batch[name]) for name in ("slab", "cube", "class"))
    assert ready(batch, None, torch.device("cpu"))["slab"].is_contiguous()


def test_what_has_no_such_order_may_lie_in_memory_as_it_likes():
    turned = {"matrix": torch.rand(3, 4).T, "maps": torch.rand(2, 3, 4).mT}
    moved = ready(turned, None, torch.device("cpu"), channels_last=True)
    assert all(torch.equal(moved[name], value) for name, value in turned.items())
    network = nn.Linear(2, 3)
    network.weight.data = torch.rand(2, 3).T
    weights_in_channels_last(network)


def test_weights_of_both_ranks_are_laid_out_and_stay_the_same_parameters():
    network = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3), nn.Linear(2, 2), nn.BatchNorm2d(4)])
    network.register_buffer("queue", torch.rand(3, 4))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    parameters = [id(parameter) for parameter in network.parameters()]
    weights_in_channels_last(network)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert network[1].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert [id(parameter) for parameter in network.parameters()] == parameters
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
