"""Every method refuses an answer that would only be broadcast to its target, and names deep supervision."""

import pytest
import torch
from monai.networks.nets import DynUNet, ViTAutoEnc
from torch import nn

from medgenesis.methods import DenseContrast, MaskedAutoencoder, ModelsGenesis, RegionPrompts, SemanticGenesis

DEEP = "Turn deep supervision off"


def deeply_supervised(channels=1):
    kernels, strides = [3] * 4, [1, 2, 2, 2]
    return DynUNet(
        3, 1, channels, kernels, strides, strides[1:], [4, 8, 16, 32], deep_supervision=True, deep_supr_num=1
    )


class Classifying(nn.Module):
    restores = True

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        return self.network(image), torch.zeros(len(image), 2)


class Heads(nn.Module):
    """Deep supervision as a list, which SegResNetDS and the networks of nnU-Net give."""

    def forward(self, image):
        return [image, image[..., ::2]]


def batch(channels=1):
    image = torch.rand(2, channels, 16, 16, 16)
    hidden = torch.rand(2, 1, 16, 16, 16) > 0.5
    found = {"image": image, "target": image, "mask": hidden, "class": torch.tensor([0, 1])}
    return {**found, "other": image, "offset": torch.zeros(2, 3, dtype=torch.long)}


def prompted():
    image = torch.rand(2, 1, 16, 16, 16)
    return {"image": image, "prompt": image, "target": (image > 0.5).float(), "prompt_mask": (image > 0.5).float()}


@pytest.mark.parametrize("heads", [deeply_supervised, Heads])
@pytest.mark.parametrize("make", [ModelsGenesis, MaskedAutoencoder, lambda net: SemanticGenesis(Classifying(net))])
def test_a_restoration_with_deep_supervision(make, heads):
    """Two heads and two images: without the check each head would be compared with both images."""
    with pytest.raises(ValueError, match=DEEP):
        make(heads())(batch())


@pytest.mark.parametrize("make", [ModelsGenesis, MaskedAutoencoder, lambda net: SemanticGenesis(Classifying(net))])
def test_one_channel_for_images_of_two(make):
    with pytest.raises(ValueError, match=r"target: must have the shape .* \(2, 1, 16, 16, 16\).*as many out_channels"):
        make(nn.Conv3d(2, 1, 1))(batch(2))


@pytest.mark.parametrize("heads", [lambda: deeply_supervised(4), Heads])
@pytest.mark.parametrize(("make", "samples"), [(DenseContrast, batch), (RegionPrompts, prompted)])
def test_features_with_deep_supervision(make, samples, heads):
    with pytest.raises(ValueError, match=f"network: must give .*{DEEP}"):
        make(heads())(samples())


def test_features_of_another_grid():
    with pytest.raises(ValueError, match=r"network: must give .*\(4, D, 16, 16, 16\).*encoder-decoder"):
        DenseContrast(nn.Conv3d(1, 4, 2, stride=2))(batch())


def test_states_beside_the_answer_are_not_taken_for_deep_supervision():
    network = ViTAutoEnc(1, (16, 16, 16), (4, 4, 4), hidden_size=12, mlp_dim=12, num_layers=1, num_heads=1)
    with pytest.raises(
        ValueError, match="network: must give one tensor .*found a tuple of 2.*returns the first"
    ) as said:
        ModelsGenesis(network)(batch())
    assert DEEP not in str(said.value)
