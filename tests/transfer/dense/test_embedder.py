"""Embeddings of places against plain cutting and resizing, and against an encoder that knows where it is."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medgenesis.networks import ResNet25D
from medgenesis.transfer import DenseEmbedder, RawPixels, dense_baselines

pytestmark = pytest.mark.usefixtures("one_thread")


class Centre(nn.Module):
    """The value in the middle of a window, of each channel: of images of coordinates, the place itself."""

    def forward(self, x):
        return x[:, :, x.shape[2] // 2, x.shape[3] // 2]


def coordinates(height, width):
    """Channels: x and y of each pixel."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y]).float()


def test_places_are_columns_and_rows():
    points = torch.tensor([[0.0, 0.0], [11.0, 3.0], [29.0, 19.0], [4.4, 5.6]])
    found = DenseEmbedder(Centre(), 5, batch_size=3).at(coordinates(20, 30), points)
    torch.testing.assert_close(found, points.round())


@pytest.mark.parametrize(("shape", "stride"), [((20, 30), 4), ((7, 9), 3), ((5, 8), 1), ((3, 3), 10)])
def test_a_map_is_on_a_grid_in_the_middle(shape, stride):
    field = DenseEmbedder(Centre(), 3).map(coordinates(*shape), stride)
    x, y = torch.broadcast_tensors(field.x[None], field.y[:, None])
    torch.testing.assert_close(field.vectors, torch.stack([x, y]).float())
    torch.testing.assert_close(field.points.float(), field.vectors.flatten(1).T)
    for places, side in ((field.y, shape[0]), (field.x, shape[1])):
        assert (places.diff() == stride).all() and 0 <= places[0] < stride and side - stride <= places[-1] < side
        assert abs(places[0] - (side - 1 - places[-1])) <= 1


@pytest.mark.parametrize(("window", "size"), [(40, 32), (33, 48), (32, None)])
def test_a_network_sees_each_window_resized(window, size):
    torch.manual_seed(0)
    network = ResNet25D("resnet18").train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    image = torch.rand(3, 50, 60)
    points = [(30.0, 20.0), (2.0, 1.0), (59.0, 49.0)]
    found = DenseEmbedder(network, window, size, batch_size=2).at(image, points)
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    network.eval()
    for vector, (x, y) in zip(found, points, strict=True):
        patch = torch.zeros(3, window, window)
        left, top = int(np.floor(x - (window - 1) / 2 + 0.5)), int(np.floor(y - (window - 1) / 2 + 0.5))
        for row in range(window):
            for column in range(window):
                if 0 <= top + row < 50 and 0 <= left + column < 60:
                    patch[:, row, column] = image[:, top + row, left + column]
        side = size or window
        wanted = network(F.interpolate(patch[None], (side, side), mode="bilinear", antialias=True))[0].detach()
        torch.testing.assert_close(vector, wanted, rtol=1e-4, atol=1e-5)


def test_bad_settings_and_places():
    with pytest.raises(ValueError, match="window, size, batch_size"):
        DenseEmbedder(Centre(), 0)
    embedder = DenseEmbedder(Centre(), 5)
    with pytest.raises(ValueError, match=r"x in 0 to 29, y in 0 to 19; found \[19\.0, 25\.0\]"):
        embedder.at(coordinates(20, 30), [(19.0, 25.0)])
    with pytest.raises(ValueError, match="found \\[nan"):
        embedder.at(coordinates(20, 30), [(float("nan"), 2.0)])
    with pytest.raises(ValueError, match=r"image: must be a slab"):
        embedder.at(torch.rand(20, 30), [(1.0, 2.0)])
    with pytest.raises(ValueError, match=r"points: must be places"):
        embedder.at(coordinates(20, 30), [1.0, 2.0])
    with pytest.raises(ValueError, match="stride"):
        embedder.map(coordinates(20, 30), 0)


def test_cosine_of_raw_pixels_is_the_correlation_of_the_middle_slices():
    patches = torch.rand(2, 3, 9, 9)
    found = F.cosine_similarity(*RawPixels()(patches).unsqueeze(1))
    wanted = np.corrcoef(patches[:, 1].flatten(1).numpy())[0, 1]
    assert found.item() == pytest.approx(wanted, abs=1e-6)


def test_controls():
    backbone = ResNet25D("resnet18", 3)
    state = torch.get_rng_state()
    controls = dense_baselines(backbone, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(controls) == ["random init", "raw pixels"]
    torch.manual_seed(1)
    wanted = ResNet25D("resnet18", 3).state_dict()
    assert all(torch.equal(wanted[key], value) for key, value in controls["random init"].state_dict().items())


@pytest.mark.parametrize("slices", [3, 1])
def test_imagenet_weights_see_the_input_as_they_were_trained(slices):
    """Grey images: one slice through the inflated stem is what three equal channels were, mean by mean."""
    torch.manual_seed(2)
    photographs = ResNet25D("resnet18", 3).eval()
    weights = {**photographs.state_dict(), "fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}
    control = dense_baselines(ResNet25D("resnet18", slices), imagenet=weights)["ImageNet"].eval()
    image = torch.rand(2, 1, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    if slices == 1:
        mean, std = mean.mean().expand(3), std.mean().expand(3)
    wanted = photographs((image.expand(2, 3, 64, 64) - mean[:, None, None]) / std[:, None, None])
    torch.testing.assert_close(control(image.expand(2, slices, 64, 64)), wanted, rtol=1e-3, atol=1e-4)
