"""UNet3D: its size, its shapes, its parts, and the input that it refuses."""

import pytest
import torch

from medgenesis.networks import UNet3D


def slow_count(in_channels, out_channels, width):
    """Parameters counted layer by layer from the description in the paper's words (methods_genesis.md, section 3)."""

    def conv(a, b, voxels=27):
        return a * b * voxels + b

    def block(a, b):
        return conv(a, b) + 2 * b  # batch norm: a weight and a bias a channel

    total, channels = 0, in_channels
    for level in range(4):
        total += block(channels, width * 2**level) + block(width * 2**level, 2 * width * 2**level)
        channels = 2 * width * 2**level
    for level in (2, 1, 0):
        skip = 2 * width * 2**level
        total += conv(channels, channels, 8) + block(channels + skip, skip) + block(skip, skip)
        channels = skip
    return total + conv(channels, out_channels, 1)


def test_published_size():
    network = UNet3D()
    assert sum(p.numel() for p in network.parameters()) == 19_073_665 == slow_count(1, 1, 32)
    assert len(network.state_dict()) == 106


@pytest.mark.parametrize(("in_channels", "out_channels", "width"), [(1, 1, 8), (3, 2, 4), (4, 5, 6)])
def test_size_with_other_settings(in_channels, out_channels, width):
    network = UNet3D(in_channels, out_channels, width)
    assert sum(p.numel() for p in network.parameters()) == slow_count(in_channels, out_channels, width)


@pytest.mark.parametrize("norm", ["batch", "batch_always", "instance"])
def test_shapes_and_composition(norm):
    network = UNet3D(2, 3, 4, norm=norm, activation=None).eval()
    x = torch.rand(2, 2, 32, 16, 24)
    features = network.encoder(x)
    assert [tuple(f.shape[1:]) for f in features] == [(8, 32, 16, 24), (16, 16, 8, 12), (32, 8, 4, 6), (64, 4, 2, 3)]
    assert network.encoder.feature_channels == (8, 16, 32, 64) and network.encoder.out_channels == 64
    out = network(x)
    assert out.shape == (2, 3, 32, 16, 24)
    assert torch.equal(out, network.head(network.decoder(features)))


@pytest.mark.parametrize("norm", ["batch", "batch_always", "instance"])
def test_gradient_reaches_every_parameter(norm):
    network = UNet3D(width=2, norm=norm, activation=None)
    (network(torch.rand(2, 1, 16, 16, 16)) * torch.rand(2, 1, 16, 16, 16)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    # a bias before a normalisation has no effect, so its gradient is nought but for rounding: look at the weights
    weights = [(name, p) for name, p in network.named_parameters() if p.ndim > 1]
    assert [name for name, p in weights if not p.grad.abs().max() > 0] == []


def test_input_is_not_changed():
    x = torch.rand(2, 1, 16, 16, 16)
    before = x.clone()
    UNet3D(width=2)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("sides", [(17, 9, 23), (8, 10, 16), (9, 8, 8)])
def test_padding_keeps_any_size(sides):
    network = UNet3D(width=2, pad_to_multiple=True).eval()
    x = torch.rand(2, 1, *sides)
    out = network(x)
    assert out.shape == x.shape
    # the same by indices: the far voxel repeated up to the multiple, and the excess cut off
    padded = x
    for axis, side in enumerate(sides, start=2):
        index = torch.arange(-(-side // 8) * 8).clamp(max=side - 1)
        padded = padded.index_select(axis, index)
    expected = network(padded)[:, :, : sides[0], : sides[1], : sides[2]]
    assert torch.allclose(out, expected, atol=1e-6)


def test_sides_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"\(16, 20, 16\).*pad_to_multiple=True"):
        UNet3D(width=2)(torch.rand(2, 1, 16, 20, 16))


@pytest.mark.parametrize("shape", [(2, 1, 16, 16, 4), (1, 16, 16, 16)])
def test_too_small_or_without_batch_is_refused(shape):
    with pytest.raises(ValueError, match="input: must be"):
        UNet3D(width=2).encoder(torch.rand(shape))


def test_one_value_a_channel_is_refused_where_torch_could_not_normalise_it():
    one = torch.rand(1, 1, 8, 8, 8)
    with pytest.raises(ValueError, match="batch of at least 2"):
        UNet3D(width=2)(one)
    with pytest.raises(ValueError, match="batch of at least 2"):
        UNet3D(width=2, norm="batch_always").eval()(one)
    with pytest.raises(ValueError, match="16 or more"):
        UNet3D(width=2, norm="instance")(torch.rand(2, 1, 8, 8, 8))
    assert UNet3D(width=2).eval()(one).shape == one.shape
    assert UNet3D(width=2)(torch.rand(2, 1, 8, 8, 8)).shape == (2, 1, 8, 8, 8)


def test_activations():
    x = torch.randn(2, 1, 16, 16, 16)
    logits_network = UNet3D(out_channels=3, width=2, activation=None).eval()
    with torch.no_grad():
        logits_network.head.conv.bias.copy_(torch.tensor([-1.0, 0.0, 2.0]))
    logits = logits_network(x)
    assert logits.min() < 0 and logits.max() > 1
    for name, expected in (
        ("sigmoid", 1 / (1 + (-logits).exp())),
        ("softmax", logits.exp() / logits.exp().sum(1, True)),
    ):
        network = UNet3D(out_channels=3, width=2, activation=name).eval()
        network.load_state_dict(logits_network.state_dict())
        assert torch.allclose(network(x), expected, atol=1e-6)
    with pytest.raises(ValueError, match="activation.*'tanh'"):
        UNet3D(activation="tanh")
    with pytest.raises(ValueError, match="norm.*'layer'"):
        UNet3D(norm="layer")
