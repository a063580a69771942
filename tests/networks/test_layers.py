"""Layers of networks: each weight once, in the order of the network."""

import pytest
from monai.networks.nets import DynUNet, SegResNet

from medgenesis.networks import EncoderClassifier, ResNet25D, UNet3D, UNet25D, YNet3D
from medgenesis.networks.layers import network_layers

NETWORKS = {
    "unet3d": lambda: UNet3D(width=2),
    "ynet3d": lambda: YNet3D(width=2),
    "resnet18": lambda: ResNet25D("resnet18"),
    "densenet121": lambda: ResNet25D("densenet121"),
    "unet25d": lambda: UNet25D("resnet18"),
    "classifier": lambda: EncoderClassifier(UNet3D(width=2), 2),
    "segresnet": lambda: SegResNet(init_filters=8),
    "dynunet": lambda: DynUNet(3, 1, 2, [3] * 4, [1, 2, 2, 2], [2, 2, 2]),  # holds modules under two names
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_is_in_one_layer(name):
    network = NETWORKS[name]()
    layers = network_layers(network)
    found = [id(weight) for _, modules in layers for one in modules for weight in one.parameters(recurse=False)]
    assert sorted(found) == sorted(id(weight) for weight in network.parameters())
    parts = [part for part, _ in layers]
    assert parts == sorted(parts, key=["encoder", "decoder", "head"].index), "from the input to the output"


def test_layers_of_the_unet_are_its_levels():
    network = UNet3D(width=2)
    names = {id(module): name for name, module in network.named_modules()}
    layers = network_layers(network)
    assert [part for part, _ in layers] == ["encoder"] * 4 + ["decoder"] * 3 + ["head"]
    for level, (_, modules) in enumerate(layers[:4]):
        assert all(names[id(one)].startswith(f"encoder.levels.{level}.") for one in modules)
    assert [names[id(one)] for one in layers[-1][1]] == ["head.conv"]
