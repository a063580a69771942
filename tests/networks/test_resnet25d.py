"""The 2.5D backbones: torchvision's keys and shapes, and the same maps as a slow forward by those keys."""

import copy

import pytest
import torch
from helpers.published_2d import backbone_maps, backbone_shapes, random_weights

from medgenesis.networks import EncoderClassifier, ResNet25D, bottleneck_features, network_parts

ENTRIES = {"resnet18": 120, "resnet34": 216, "resnet50": 318, "resnet101": 624, "densenet121": 725}
PARAMETERS = {"resnet18": 11_689_512 - 513_000, "resnet50": 23_508_032, "densenet121": 7_978_856 - 1_025_000}


@pytest.mark.parametrize("name", ENTRIES)
def test_keys_and_shapes_are_torchvisions(name):
    with torch.device("meta"):
        network = ResNet25D(name)
    state = network.state_dict()
    assert len(state) == ENTRIES[name]
    expected = backbone_shapes(name)
    assert {key: tuple(value.shape) for key, value in state.items()} == expected
    assert list(state)[:2] == list(expected)[:2]
    if name in PARAMETERS:
        assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121"])
@pytest.mark.parametrize("slices", [3, 5])
def test_maps_and_features_equal_a_slow_forward(name, slices):
    weights = random_weights(backbone_shapes(name, slices))
    network = ResNet25D(name, slices).eval()
    network.load_state_dict(weights)
    x = torch.rand(2, slices, 64, 96)
    with torch.no_grad():
        expected, maps, features = backbone_maps(weights, x), network.maps(x), network(x)
    assert [tuple(m.shape[2:]) for m in maps] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert tuple(m.shape[1] for m in maps) == network.feature_channels
    for ours, theirs in zip(maps, expected, strict=True):
        assert theirs.std() > 0.01
        assert torch.allclose(ours, theirs, atol=1e-4 * theirs.abs().max())
    assert features.shape == (2, network.out_channels)
    assert torch.allclose(features, expected[-1].sum((2, 3)) / 6, atol=1e-4 * features.abs().max())


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_maps_are_not_changed_by_what_follows_in_place(name):
    """The layers after a map work in place: each map must still be what its own module gave."""
    network = ResNet25D(name).eval()
    given = []
    for module in network.modules():
        module.register_forward_hook(lambda _, args, out: given.append((out, out.clone())))
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps = network.maps(x)
    for m in maps:
        copies = [before for out, before in given if out is m]
        assert copies and torch.equal(copies[-1], m)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_parts(name):
    network = ResNet25D(name).eval()
    parts = network_parts(network)
    first = next(network.named_children())[0]
    assert parts.heads == () and network_parts(network, head=first).heads == (first,)
    seen = []
    parts.last_stage.register_forward_hook(lambda _, args, out: seen.append(out))
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = network(x)
        maps = parts.encoder(x)
    assert len(seen) == 2 and torch.equal(seen[0].mean((2, 3)), features) and seen[1] is maps[-1]
    assert parts.encoder.out_channels == network.out_channels
    shared = dict(parts.encoder.named_parameters())
    assert all(shared[key] is parameter for key, parameter in network.named_parameters())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        clone = copy.deepcopy(parts.encoder)  # as mining does
        assert not bottleneck_features(parts.encoder(x)).any() and not bottleneck_features(clone(x)).any()


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_classifier(name):
    network = ResNet25D(name)
    classifier = EncoderClassifier(network, 14, hidden=None).eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = network.eval()(x)
        assert torch.allclose(classifier.embed(x), features, atol=1e-6)
        dense = classifier.head[-1]
        assert torch.allclose(classifier(x), features @ dense.weight.T + dense.bias, atol=1e-5)
    classifier.train()(x).sum().backward()
    assert [key for key, p in classifier.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, 5, 64, 64), r"input: must be slabs \(B, 3, H, W\).*found \(2, 5, 64, 64\)"),
        ((2, 3, 64, 31), "sides of 32 pixels or more.*a larger size"),
        ((2, 3, 64, 64, 64), "input: must be slabs"),
        ((1, 3, 32, 32), "one value a channel.*batch of at least 2"),
    ],
)
def test_slabs_that_do_not_fit(shape, words):
    network = ResNet25D("resnet18").train()
    for call in (network, network.maps, network_parts(network).encoder):
        with pytest.raises(ValueError, match=words):
            call(torch.zeros(shape))


def test_settings_that_make_no_sense():
    with pytest.raises(ValueError, match="name: must be one of resnet18, .*found 'resnet52'"):
        ResNet25D("resnet52")
    with pytest.raises(ValueError, match="slices: must be at least 1; found 0"):
        ResNet25D("resnet18", 0)


def test_the_encoder_of_an_evaluated_network_takes_one_small_slab():
    network = ResNet25D("resnet18_w8").eval()
    slab = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(network_parts(network).encoder(slab)[-1][..., 0, 0], network(slab))
