"""Labels carried over by frozen features: the classifier against its slow computation, and where it must work."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.nnunet import plans
from monai.networks.nets import BasicUNet, SegResNet
from sklearn.linear_model import LogisticRegression

from medgenesis.networks import UNet3D, UNet25D
from medgenesis.networks.planned import planned_network
from medgenesis.networks.voxel_probe import (
    FeatureLevels,
    VoxelProbe,
    VoxelSample,
    _at,
    batches_of,
    fit_voxel_probe,
    has_levels,
)

SIDE = {3: 16, 2: 32}


def _network(axes):
    torch.manual_seed(0)
    return UNet3D(1, 2, width=2) if axes == 3 else UNet25D("resnet18", 3, 2)


def _image(axes, batch=1, seed=0):
    channels = 1 if axes == 3 else 3
    return torch.rand(batch, channels, *(SIDE[axes],) * axes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("axes", [2, 3])
def test_levels_are_what_the_network_computes(axes):
    network, image = _network(axes).eval(), _image(axes)
    with torch.no_grad():
        levels = FeatureLevels(network)(image)
        np.testing.assert_array_equal(network.head(levels[-1]), network(image))
    assert levels[0] is image
    encoded = network.encoder(image)
    assert [one.shape for one in levels[1 : 1 + len(encoded)]] == [one.shape for one in encoded]


@pytest.mark.parametrize("axes", [2, 3])
def test_the_probe_is_the_classifier_on_resized_features(axes):
    network, image = _network(axes).eval(), _image(axes, 2)
    levels = FeatureLevels(network)
    mode = "trilinear" if axes == 3 else "bilinear"
    with torch.no_grad():
        resized = [F.interpolate(one, image.shape[2:], mode=mode, align_corners=False) for one in levels(image)]
        features = torch.cat(resized, 1)
        rng = np.random.default_rng(0)
        weights, free = rng.normal(size=(3, features.shape[1])), rng.normal(size=3)
        expected = np.einsum("kc,bc...->bk...", weights, features) + free.reshape(1, 3, *(1,) * axes)
        np.testing.assert_allclose(VoxelProbe(levels, weights, free)(image), expected, atol=1e-3)
        at = rng.integers(0, SIDE[axes], (50, axes))
        found = torch.cat([_at(one[:1], at, image.shape[2:]) for one in levels(image)], 1)
    np.testing.assert_allclose(found, features[0][(slice(None), *at.T)].T, atol=1e-4)


def _scene(seed, axes):
    """A bright ball in noise, and its label map; a second class is darker than all."""
    rng = np.random.default_rng(seed)
    side = SIDE[axes]
    grid = np.stack(np.meshgrid(*[np.arange(side)] * axes, indexing="ij"))
    label = np.zeros((side,) * axes, int)
    for value, radius in ((1, side / 4), (2, side / 4)):
        centre = rng.uniform(side / 4, 3 * side / 4, axes).reshape(-1, *(1,) * axes)
        label[((grid - centre) ** 2).sum(0) < radius**2] = value
    image = np.choose(label, [0.5, 0.9, 0.1]) + rng.normal(size=label.shape) * 0.05
    channels = 1 if axes == 3 else 3
    return torch.tensor(np.repeat(image[None], channels, 0), dtype=torch.float32), torch.tensor(label[None])


@pytest.mark.parametrize("axes", [2, 3])
def test_labelled_crops_label_the_next_image(axes):
    network = _network(axes)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    crops = [_scene(seed, axes) for seed in range(6)]
    probe = fit_voxel_probe(network, crops, 3, per_class=400)
    other, truth = _scene(9, axes)
    with torch.no_grad():
        found = probe.eval()(other[None]).argmax(1)
    for value in (1, 2):
        a, b = found == value, truth == value
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.75
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    again = fit_voxel_probe(network, crops, 3, per_class=400)
    assert torch.equal(again.coefficients, probe.coefficients)


def test_rare_classes_count_as_much_as_frequent_ones_and_absent_ones_never():
    image, rng = torch.zeros(1, 16, 16, 16), np.random.default_rng(0)
    label = torch.tensor((rng.random((1, 16, 16, 16)) < 0.1).astype(int))
    probe = fit_voxel_probe(_network(3), [(image, label)], 3)
    with torch.no_grad():
        found = probe.eval()(image[None]).softmax(1).mean((0, 2, 3, 4))  # the image tells nothing
    np.testing.assert_allclose(found, [0.5, 0.5, 0], atol=0.06)


@pytest.mark.parametrize("share", [0.15, 0.3, 0.5])
def test_classes_are_as_frequent_as_in_the_crops_where_that_is_asked(share):
    image, rng = torch.zeros(1, 16, 16, 16), np.random.default_rng(0)
    label = torch.tensor((rng.random((1, 16, 16, 16)) < share).astype(int))
    probe = fit_voxel_probe(_network(3), [(image, label)], 3, per_class=600, alike=False)
    with torch.no_grad():
        found = probe.eval()(image[None]).softmax(1).mean((0, 2, 3, 4))  # the image tells nothing
    there = float(label.float().mean())
    np.testing.assert_allclose(found, [1 - there, there, 0], atol=0.04)


def test_a_network_of_clicks_is_given_none():
    torch.manual_seed(0)
    network = UNet3D(1, 2, 2, guidance=2, activation=None).eval()
    image = torch.rand(1, 1, 16, 16, 16)
    assert has_levels(network) and not has_levels(torch.nn.Conv3d(1, 1, 1))
    with torch.no_grad():
        found, zeros = FeatureLevels(network)(image), torch.zeros(1, 2, 16, 16, 16)
        torch.testing.assert_close(network.head(found[-1]), network(torch.cat([image, zeros], 1)))
    assert found[0] is image


def _planned(residual):
    pytest.importorskip("dynamic_network_architectures")
    return planned_network(plans(residual=residual)["configurations"]["3d_fullres"]["architecture"], 1, 2)


@pytest.mark.parametrize("name", ["plain", "residual", "segresnet"])
def test_the_maps_of_other_networks_are_what_they_compute(name):
    """The last one gives the answer by the network's own last layer; all of them are on grids that a probe can see."""
    torch.manual_seed(0)
    network = (SegResNet(3, 8, 1, 2) if name == "segresnet" else _planned(name == "residual")).eval()
    image = torch.rand(2, 1, 16, 16, 16)
    head = network.conv_final if name == "segresnet" else network.decoder.seg_layers[-1]
    with torch.no_grad():
        levels = FeatureLevels(network)(image)
        torch.testing.assert_close(head(levels[-1]), network(image), rtol=0, atol=0)
    assert has_levels(network) and levels[0] is image
    sides = [16, 8, 4, 2, 4, 8, 16] if name == "segresnet" else [16, 8, 4, 8, 16]
    assert [one.shape[4] for one in levels[1:]] == sides
    label = (image[0, :1] > 0.5).long()
    probe = fit_voxel_probe(network, [(image[0], label)], 2, per_class=300)
    with torch.no_grad():
        assert (probe(image[:1]).argmax(1) == label).float().mean() > 0.95  # the intensities are among the maps


def test_a_network_whose_maps_are_not_known_is_refused():
    for network in (BasicUNet(3, 1, 2, (4, 4, 8, 8, 16, 4)), torch.nn.Conv3d(1, 1, 1)):
        assert not has_levels(network)
        with pytest.raises(ValueError, match=f"network: must be a UNet3D, .* found {type(network).__name__}"):
            FeatureLevels(network)


def test_two_classes_are_scikit_learns(monkeypatch):
    seen = {}

    class Kept(LogisticRegression):
        def fit(self, x, y):
            seen["x"], seen["model"] = x, self
            return super().fit(x, y)

    monkeypatch.setattr("sklearn.linear_model.LogisticRegression", Kept)
    network, (image, label) = _network(3).eval(), _scene(3, 3)
    label = (label == 1).long()
    count = int(label.sum())
    probe = fit_voxel_probe(network, [(image, label)], 2, per_class=count)
    logits = seen["model"].decision_function(seen["x"])
    with torch.no_grad():
        answers = probe(image[None])[0]
    drawn = (answers[1] - answers[0])[label[0] == 1]
    np.testing.assert_allclose(np.sort(drawn), np.sort(logits[count:]), atol=2e-2)


def test_nothing_is_drawn():
    with pytest.raises(ValueError, match="labels: must be of two classes"):
        fit_voxel_probe(_network(3), [(torch.zeros(1, 16, 16, 16), torch.zeros(1, 16, 16, 16).long())], 2)


def test_a_channel_that_hardly_varies_gets_no_huge_weight():
    """As one whose batch norm has a tiny scale: the first steps of a training would tear such a weight apart."""
    features = np.random.default_rng(0).normal(size=(400, 5))
    classes = (features[:, 0] > 0).astype(int)
    counts = np.bincount(classes)
    usual, _ = VoxelSample(features, classes, counts).linear_classifier(2, alike=True)
    assert usual[1, 0] > 1 and usual[1, 0] > 5 * np.abs(usual[1, 1:]).max()
    features[:, 0] *= 1e-5
    found, _ = VoxelSample(features, classes, counts).linear_classifier(2, alike=True)
    assert np.abs(found).max() < 1000  # it would be 1e5 times the usual one


def test_labels_beyond_the_classes_are_refused():
    for wrong in (2, -1, 255):
        label = torch.zeros(1, 16, 16, 16).long()
        label[0, :4], label[0, 5, 5, 5] = 1, wrong
        with pytest.raises(ValueError, match=f"labels: must be from 0 to 1, .* found {wrong}"):
            fit_voxel_probe(_network(3), [(_image(3)[0], label)], 2)


def test_crops_of_one_shape_go_together():
    shapes = [(1, 8, 8, 8)] * 3 + [(1, 16, 8, 8)] + [(1, 8, 8, 8)] * 2
    found = list(batches_of([(torch.zeros(shape), number) for number, shape in enumerate(shapes)], 2))
    assert [[number for _, number in some] for some in found] == [[0, 1], [2], [3], [4, 5]]
