"""What a published 2D network expects of [0, 1] images, against NumPy, and in the network without any key."""

import numpy as np
import pytest
import torch

from medgenesis.networks import EncoderClassifier, ResNet25D, UNet25D
from medgenesis.networks.input_normalisation import HistogramInput, ImageNetInput
from medgenesis.weights import load_pretrained

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize(("slices", "mean", "std"), [(3, MEAN, STD), (1, MEAN.mean(), STD.mean()), (5, 0.449, 0.226)])
def test_imagenet(slices, mean, std):
    x = torch.rand(2, slices, 4, 6)
    expected = (x.numpy() - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1))
    assert np.allclose(ImageNetInput(slices)(x).numpy(), expected, atol=1e-5)


def equalised(image):
    """The published way, by NumPy: left edges of 256 bins against the cumulative histogram, up to 255."""
    counts, edges = np.histogram(image, bins=256)
    shares = 255 * counts.cumsum() / counts.sum()
    return np.interp(image, edges[:-1], shares)


@pytest.mark.parametrize("skewed", [False, True])
def test_histogram(skewed):
    x = torch.rand(3, 3, 16, 20, generator=torch.Generator().manual_seed(1))
    x = x**4 if skewed else x
    found = HistogramInput()(x).numpy()
    for image, ours in zip(x.double().numpy(), found, strict=True):
        expected = equalised(image)
        # a value at an edge may fall into either bin
        assert np.quantile(abs(ours - expected), 0.99) < 0.01 and abs(ours - expected).max() < 2
        assert 250 < ours.max() <= 255
    constant = torch.full((1, 3, 4, 4), 0.3)
    assert (HistogramInput()(constant) == 0).all()


@pytest.mark.parametrize("name", ["resnet18_w8", "densenet121"])
@pytest.mark.parametrize("normalisation", ["imagenet", "histogram"])
def test_it_is_the_first_thing_a_network_does_and_adds_no_key(name, normalisation):
    plain, network = ResNet25D(name).eval(), ResNet25D(name, input_normalisation=normalisation).eval()
    assert list(network.state_dict()) == list(plain.state_dict())
    network.load_state_dict(plain.state_dict())
    first = {"imagenet": ImageNetInput(3), "histogram": HistogramInput()}[normalisation]
    x = torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        assert torch.equal(network(x), plain(first(x)))
        assert torch.equal(torch.jit.script(network)(x), network(x))


@pytest.mark.parametrize("slices", [1, 5])
def test_how_far_other_numbers_of_slices_are_from_three(slices):
    """The departure that `ImageNetInput` states: one number for all channels in place of three."""
    far: dict[str, list[float]] = {"first": [], "last": []}
    for seed in range(3):
        torch.manual_seed(seed)
        three = ResNet25D("resnet18", input_normalisation="imagenet").eval()
        other = ResNet25D("resnet18", slices, input_normalisation="imagenet").eval()
        load_pretrained(other, three.state_dict(), inflate_input=True)
        x = torch.rand(2, 1, 64, 64)
        with torch.no_grad():
            for name, steps in {
                "first": lambda n, x: n.conv1(n.input_normalisation(x)),
                "last": lambda n, x: n(x),
            }.items():
                expected, found = (steps(n, x.expand(-1, c, -1, -1)) for n, c in ((three, 3), (other, slices)))
                far[name].append(float((found - expected).norm() / expected.norm()))
    assert 0.10 < np.mean(far["first"]) < 0.13 and 0.02 < np.mean(far["last"]) < 0.04, far


def test_in_a_unet_and_a_classifier():
    settings = {"name": "resnet18_w8", "slices": 1, "input_normalisation": "imagenet"}
    network, plain = UNet25D(**settings).eval(), UNet25D("resnet18_w8", 1).eval()
    network.load_state_dict(plain.state_dict())
    x = torch.rand(1, 1, 64, 64)
    normalised = ImageNetInput(1)(x)
    with torch.no_grad():
        assert torch.equal(network(x), plain(normalised))
        assert torch.equal(EncoderClassifier(network, 2).embed(x), EncoderClassifier(plain, 2).embed(normalised))


def test_another_name():
    with pytest.raises(ValueError, match="input_normalisation: must be one of none, imagenet, histogram; found 'z'"):
        ResNet25D("resnet18", input_normalisation="z")
