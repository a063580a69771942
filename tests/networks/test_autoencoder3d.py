"""AutoEncoder3D: UNet3D's encoder, and a decoder to which nothing comes but the last feature map."""

import pytest
import torch

from medgenesis.networks import AutoEncoder3D, UNet3D, network_parts


@pytest.mark.parametrize("width", [2, 32])
def test_size_is_that_of_unet3d_without_the_skips(width):
    with torch.device("meta"):
        network, unet = AutoEncoder3D(width=width), UNet3D(width=width)
    skips = (2 * width, 4 * width, 8 * width)  # channels concatenated at each level, each to as many outputs
    sizes = [sum(p.numel() for p in n.parameters()) for n in (network, unet)]
    assert sizes[0] == sizes[1] - sum(27 * channels**2 for channels in skips)


@pytest.mark.parametrize("norm", ["batch", "batch_always", "instance"])
def test_shapes_encoder_and_gradient(norm):
    network = AutoEncoder3D(2, width=2, norm=norm)
    unet = UNet3D(2, width=2, norm=norm)
    assert network.encoder.state_dict().keys() == unet.encoder.state_dict().keys()
    assert network_parts(network).encoder is network.encoder and network_parts(network).head == "head"
    x = torch.rand(2, 2, 16, 24, 16)
    out = network(x)
    assert out.shape == x.shape and 0 < out.min() and out.max() < 1
    out.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_everything_passes_the_bottleneck():
    network = AutoEncoder3D(width=2).eval()
    x = torch.rand(2, 1, 16, 16, 16)
    with torch.no_grad():
        features = network.encoder(x)
        out = network.head(network.decoder(features))
        assert torch.equal(out, network(x))
        assert torch.equal(out, network.head(network.decoder([None, None, None, features[-1]])))
        # UNet3D's decoder, for comparison, reads the shallow maps
        unet = UNet3D(width=2).eval()
        shallow = [torch.zeros_like(f) for f in features[:-1]]
        assert not torch.allclose(unet.decoder(features), unet.decoder([*shallow, features[-1]]))


def test_sides_as_in_unet3d():
    with pytest.raises(ValueError, match="pad_to_multiple=True"):
        AutoEncoder3D(width=2)(torch.rand(2, 1, 16, 20, 16))
    x = torch.rand(2, 1, 17, 9, 16)
    assert AutoEncoder3D(width=2, pad_to_multiple=True)(x).shape == x.shape


def test_no_activation():
    out = AutoEncoder3D(width=2, activation=None)(torch.randn(2, 1, 16, 16, 16))
    assert out.min() < 0 or out.max() > 1
