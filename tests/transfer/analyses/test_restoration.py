"""Errors of the network and of three trivial answers, against loops over voxels."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from medgenesis.methods import MaskedAutoencoder, ModelsGenesis, SemanticGenesis
from medgenesis.networks import YNet3D
from medgenesis.transfer import report_restoration, restoration_errors
from medgenesis.transforms import RandMaskBlocksd

ANSWERS = ["network", "corrupted cube", "mean training cube", "own mean"]


def pairs(count, seed, shape=(1, 3, 4, 2)):
    rng = np.random.default_rng(seed)
    return [
        {name: torch.from_numpy(rng.random(shape, dtype=np.float32)) for name in ("image", "target")}
        for _ in range(count)
    ]


def network(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.BatchNorm3d(2), nn.Dropout(dropout), nn.Conv3d(2, 1, 1))


def slowly(net, training, held_out):
    """The definitions, voxel by voxel."""
    net.eval()
    sums, voxels = dict.fromkeys(ANSWERS, 0.0), 0
    for pair in held_out:
        image, target = pair["image"].double().numpy(), pair["target"].double().numpy()
        restored = net(pair["image"][None])[0].detach().numpy()
        own = sum(image.flatten().tolist()) / image.size
        for at in np.ndindex(*target.shape):
            mean = sum(float(other["target"][at]) for other in training) / len(training)
            for name, answer in zip(ANSWERS, (restored[at], image[at], mean, own), strict=True):
                sums[name] += (answer - target[at]) ** 2
            voxels += 1
    return {name: total / voxels for name, total in sums.items()}


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_errors_are_those_of_a_loop_over_voxels(batch_size):
    training, held_out = pairs(5, 0), pairs(7, 1)
    found = restoration_errors(ModelsGenesis(network()), training, held_out, batch_size)
    assert list(found) == ANSWERS
    assert found == pytest.approx(slowly(network(), training, held_out), rel=1e-5)


def test_where_voxels_are_hidden_they_alone_count():
    hide = RandMaskBlocksd("image", target_key="target", block_size=2, fill=0.3).set_random_state(0)
    held_out = [hide({"image": pair["target"]}) for pair in pairs(3, 1, (1, 4, 4, 2))]
    method = MaskedAutoencoder(network())
    found = restoration_errors(method, training := pairs(4, 0, (1, 4, 4, 2)), held_out)
    sums, mean = dict.fromkeys(ANSWERS, 0.0), torch.stack([pair["target"] for pair in training]).mean(0)
    for image, target, hidden in ((pair["image"], pair["target"], pair["mask"]) for pair in held_out):
        restored = method.network.eval()(image[None])[0].detach()
        for answer, name in zip((restored, image, mean, image[~hidden].mean().expand_as(image)), ANSWERS, strict=True):
            sums[name] += ((answer - target)[hidden] ** 2).mean().item() / 3
    assert found == pytest.approx(sums, rel=1e-5)


def test_of_a_slab_the_middle_slice_is_what_was_shown():
    """What is to be restored is that slice: shown as it is, it leaves no error, whatever its neighbours are."""
    held_out = [{**pair, "target": pair["image"][1:2]} for pair in pairs(3, 1, (3, 5, 4))]
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Identity())
    found = restoration_errors(ModelsGenesis(network), held_out, held_out)
    assert found["corrupted cube"] == 0 and min(found["mean training cube"], found["own mean"]) > 0


def test_answers_that_are_known():
    """A held-out target that is the training mean, and a cube that was not corrupted."""
    training = pairs(4, 0)
    mean = torch.stack([pair["target"] for pair in training]).mean(0)
    identity = nn.Sequential(nn.Conv3d(1, 1, 1, bias=False))
    nn.init.ones_(identity[0].weight)
    found = restoration_errors(ModelsGenesis(identity), training, [{"image": mean, "target": mean}])
    assert found["network"] == found["corrupted cube"] == 0
    assert found["mean training cube"] < 1e-13
    assert found["own mean"] == pytest.approx(mean.double().var(correction=0).item())


def test_a_network_that_also_classifies_is_asked_for_its_restoration():
    torch.manual_seed(0)
    net = YNet3D(width=2, num_classes=2)
    training, held_out = pairs(2, 0, (1, 8, 8, 8)), pairs(3, 1, (1, 8, 8, 8))
    found = restoration_errors(SemanticGenesis(net), training, held_out)
    with torch.no_grad():
        errors = [(net.eval()(pair["image"][None])[0][0] - pair["target"]).square().mean() for pair in held_out]
    assert found["network"] == pytest.approx(torch.stack(errors).mean().item(), rel=1e-5)


def test_evaluation_mode_for_the_time_and_no_gradient():
    net = network(dropout=0.9).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first, second = (restoration_errors(ModelsGenesis(net), pairs(2, 0), pairs(3, 1)) for _ in range(2))
    assert first == second
    assert net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def trainer(net, training, **state):
    state = {"interrupted": False, "rank": 0, "device": torch.device("cpu"), **state}
    method, loader = ModelsGenesis(net), SimpleNamespace(dataset=training)
    return SimpleNamespace(state=SimpleNamespace(**state), method=method, data_loader=loader)


def test_the_report_is_of_the_exported_weights(tmp_path, caplog):
    caplog.set_level("INFO")
    training, held_out = pairs(4, 0), pairs(5, 1)
    best, last = network(), network()
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.add_(1.0)
    torch.save(best.state_dict(), tmp_path / "best.pt")
    report_restoration(trainer(last, training), held_out, tmp_path / "best.pt", tmp_path / "out" / "table.csv")
    assert caplog.messages[-1] == f"written: {tmp_path / 'out' / 'table.csv'}"  # no page: no epoch is recorded
    with (tmp_path / "out" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = restoration_errors(ModelsGenesis(best), training, held_out)
    assert {row["answer"]: float(row["mean squared error"]) for row in rows} == pytest.approx(wanted, abs=1e-6)
    for row in rows:
        ratio = wanted[row["answer"]] / wanted["network"]
        assert float(row["times the network's"]) == pytest.approx(ratio, abs=0.006)


def test_other_ranks_report_nothing(tmp_path):
    report_restoration(trainer(network(), [], rank=1), [], tmp_path / "absent.pt", tmp_path / "table.csv")
    assert not (tmp_path / "table.csv").exists()
