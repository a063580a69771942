"""The head as a linear classifier: against scikit-learn on enlarged features, and what it leaves alone."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import SegResNet
from sklearn.linear_model import LogisticRegression

from medgenesis.networks import SparseUNet3D, UNet3D, UNet25D, YNet3D
from medgenesis.networks.probed_head import begin_head, head_classes

SIDES = {3: (16, 16, 8), 2: (32, 32)}
CASES = [*((axes, levels) for axes in SIDES for levels in ("last", "all")), (3, "last, sparse")]


def network_of(axes, levels, classes=3):
    torch.manual_seed(0)
    if levels == "last, sparse":
        return SparseUNet3D(1, classes, width=2, activation=None)
    if axes == 3:
        return UNet3D(1, classes, width=2, activation=None, head_levels=levels)
    return UNet25D("resnet18_w8", 3, classes, head_levels=levels)


def crops_of(axes, number=2, values=(0, 1, 2)):
    """Bright and dark slabs in noise."""
    rng, found = np.random.default_rng(0), []
    for at in range(number):
        label = np.zeros(SIDES[axes], int)
        label[2 + at : 6 + at] = values[1] if len(values) > 1 else 0
        label[9:12] = values[-1]
        image = 0.5 + 0.3 * (label == 1) - 0.3 * (label == 2) + rng.normal(scale=0.05, size=label.shape)
        image = np.repeat(image[None], 1 if axes == 3 else 3, 0)
        found.append((torch.tensor(image, dtype=torch.float32), torch.tensor(label[None])))
    return found


def rows_of(network, crops):
    """Features of every voxel, enlarged to full size, and their classes."""
    rows, classes = [], []
    for image, label in crops:
        with torch.no_grad():
            maps = network.eval().head_maps(image[None])
        mode = "trilinear" if label.ndim == 4 else "bilinear"
        whole = [F.interpolate(one, label.shape[1:], mode=mode, align_corners=False) for one in maps]
        rows.append(torch.cat(whole, 1)[0].flatten(1).T.double().numpy())
        classes.append(label[0].flatten().numpy())
    return np.concatenate(rows), np.concatenate(classes)


@pytest.mark.parametrize(("axes", "levels"), CASES)
def test_it_is_the_logistic_regression_of_all_voxels(axes, levels):
    network, crops = network_of(axes, levels), crops_of(axes)
    rows, classes = rows_of(network, crops)
    mean, spread = rows.mean(0), rows.std(0)
    scaled = (rows - mean) / np.where(spread > 1e-6, spread, np.inf)
    model = LogisticRegression(C=1 / (0.001 * len(rows)), max_iter=2000, tol=1e-6).fit(scaled, classes)
    assert begin_head(network, crops, per_class=10**6) == ()  # all voxels: nothing is drawn
    with torch.no_grad():
        found = [F.softmax(network.eval()(image[None]), 1)[0].flatten(1).T for image, _ in crops]
    np.testing.assert_allclose(torch.cat(found), model.predict_proba(scaled), atol=0.02)
    assert (torch.cat(found).argmax(1).numpy() == model.predict(scaled)).mean() > 0.98
    assert levels != "all" or (torch.cat(found).argmax(1).numpy() == classes).mean() > 0.9


@pytest.mark.parametrize(("axes", "levels"), CASES)
def test_nothing_but_the_head_changes(axes, levels):
    network = network_of(axes, levels).train()
    before = copy.deepcopy(network.state_dict())
    begin_head(network, crops_of(axes), per_class=20)
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {key for key in before if key.startswith("head.")}
    assert network.training


def test_draws_follow_from_the_seed():
    found = [network_of(3, "all") for _ in range(3)]
    for network, seed in zip(found, (1, 1, 2), strict=True):
        begin_head(network, crops_of(3), per_class=20, seed=seed)
    weights = [network.head.convs[0].weight for network in found]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_classes_drawn_alike_are_as_frequent_as_in_the_crops():
    """Labels that the image tells nothing of: what is answered is their share, though equally many were drawn."""
    rng, crops = np.random.default_rng(0), []
    for _ in range(4):
        label = rng.choice(3, p=[0.8, 0.15, 0.05], size=SIDES[3])
        image = torch.tensor(rng.random((1, *SIDES[3])), dtype=torch.float32)
        crops.append((image, torch.tensor(label[None])))
    network = network_of(3, "last")
    begin_head(network, crops, per_class=100)
    with torch.no_grad():
        mean = torch.stack([F.softmax(network.eval()(image[None]), 1)[0].flatten(1).mean(1) for image, _ in crops])
    np.testing.assert_allclose(mean.mean(0), [0.8, 0.15, 0.05], atol=0.05)


def test_an_absent_class_begins_rarer_than_all_others_and_can_be_learnt():
    network, crops = network_of(3, "all", classes=5), crops_of(3)
    mean = torch.tensor(rows_of(network, crops)[0].mean(0), dtype=torch.float32)
    assert begin_head(network, crops, per_class=10**6) == (3, 4)  # all voxels: nothing is drawn
    weights = torch.cat([conv.weight.flatten(1) for conv in network.head.convs], 1)
    logits = weights @ mean + network.head.convs[-1].bias
    torch.testing.assert_close(logits[3:], (logits[:3].min() - 5).expand(2), atol=0.02, rtol=0)
    assert not weights[3:].any()
    image, label = crops[0]
    loss = F.cross_entropy(network.eval()(image[None]), torch.full_like(label, 3))
    loss.backward()
    assert network.head.convs[-1].bias.grad[3] < -0.5


def test_labels_of_one_class_are_refused():
    with pytest.raises(ValueError, match=r"labels: must be of two classes .* found \[0\] alone"):
        begin_head(network_of(3, "all"), crops_of(3, values=(0,)), per_class=10)


def test_another_network_is_refused():
    with pytest.raises(ValueError, match="probe_first: the network must be a UNet3D or UNet25D; found SegResNet"):
        head_classes(SegResNet(3, 8, 1, 2))
    with pytest.raises(ValueError, match="found Linear"):
        begin_head(torch.nn.Linear(2, 2), crops_of(3), per_class=10)
    for decoder in (True, False):  # its answer is a pair, of which a segmentation's loss makes nothing
        with pytest.raises(ValueError, match="found YNet3D"):
            begin_head(YNet3D(1, 3, 2, activation=None, decoder=decoder), crops_of(3), per_class=10)


def test_crops_that_a_network_pads_are_refused():
    """Its maps are then of other places than the label's."""
    network = UNet3D(1, 3, width=2, activation=None, pad_to_multiple=True)
    image, label = crops_of(3)[0]
    with pytest.raises(ValueError, match=r"crops: must have the sides .* \(16, 16, 8\); found \(12, 16, 8\)"):
        begin_head(network, [(image[:, :12], label[:, :12])], per_class=10)


def test_a_norm_of_the_batch_sees_batches():
    """Features of `batch_always` follow from their neighbours: those of training are of batches."""
    torch.manual_seed(0)
    network, crops = UNet3D(1, 3, width=2, activation=None, norm="batch_always", head_levels="all"), crops_of(3, 8)
    begin_head(network, crops, per_class=100)
    images, labels = torch.stack([image for image, _ in crops]), torch.stack([label[0] for _, label in crops])
    with torch.no_grad():
        together = F.cross_entropy(network.eval()(images), labels)
        single = np.mean([F.cross_entropy(network(image[None]), label) for image, label in crops])
    assert together < 0.8 * single
