"""The loss of Semantic Genesis by hand, its parts, what the engine makes of them, and bad classes."""

import math

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from medgenesis.data import SeededSampler
from medgenesis.engines import PretextEvaluator, PretextTrainer
from medgenesis.methods import SemanticGenesis
from medgenesis.networks import UNet3D, YNet3D


def batch(cubes=3, classes=(0, 4, 2)):
    torch.manual_seed(0)
    pair = {name: torch.rand(cubes, 1, 16, 16, 16) for name in ("image", "target")}
    return {**pair, "class": torch.tensor(classes)}


def by_hand(network, pair):
    """Mean square and cross-entropy, value by value; the latter as published, from the logarithm of a softmax."""
    restored, logits = network(pair["image"])
    squares = (restored.double() - pair["target"].double()).flatten().square() if restored is not None else None
    entropies, right = [], 0
    for row, true in zip(logits.tolist(), pair["class"].tolist(), strict=True):
        softmax = [math.exp(v) / sum(map(math.exp, row)) for v in row]
        logs = [math.log(p) for p in softmax]
        again = [math.exp(v) / sum(map(math.exp, logs)) for v in logs]  # the second softmax, inside cross-entropy
        entropies.append(-math.log(again[true]))
        right += max(range(len(row)), key=row.__getitem__) == true
    return squares, sum(entropies) / len(entropies), right / len(entropies)


@pytest.mark.parametrize(("weights", "expected"), [({}, (1, 0.01)), (dict(classification_weight=2.0), (1, 2.0))])
def test_loss_of_both_tasks(weights, expected):
    network, pair = YNet3D(width=2, num_classes=5, norm="instance"), batch()
    method = SemanticGenesis(network, **weights)
    with torch.no_grad():
        output = method(pair)
        squares, entropy, share = by_hand(network, pair)
    restoration = squares.mean().item()
    assert output["loss"].item() == pytest.approx(expected[0] * restoration + expected[1] * entropy, rel=1e-5)
    assert output["restoration"].item() == pytest.approx(restoration, rel=1e-5)
    assert output["classification"].item() == pytest.approx(entropy, rel=1e-5)
    assert output["accuracy"].item() == pytest.approx(share)
    assert output["restored"].shape == pair["target"].shape
    assert set(output) == {"loss", "restored", *method.parts}
    assert method.parts == ("restoration", "classification", "accuracy")


def test_encoder_only_classifies_with_weight_one():
    network, pair = YNet3D(width=2, num_classes=5, norm="instance", decoder=False), batch()
    method = SemanticGenesis(network)
    output = method(pair)
    _, entropy, share = by_hand(network, pair)
    assert output["loss"].item() == output["classification"].item() == pytest.approx(entropy, rel=1e-5)
    assert output["accuracy"].item() == pytest.approx(share)
    assert method.parts == ("classification", "accuracy") and set(output) == {"loss", *method.parts}
    with pytest.raises(ValueError, match="must have a decoder to restore"):
        method.restore(pair["image"])


def test_accuracy_counts_right_classes():
    network, pair = YNet3D(width=2, num_classes=5).eval(), batch(4, (1, 1, 1, 0))
    with torch.no_grad():
        network.classifier.fc.weight.zero_()
        network.classifier.fc.bias.copy_(torch.eye(5)[1])
    assert SemanticGenesis(network)(pair)["accuracy"].item() == 0.75


def test_parts_are_detached_and_every_parameter_learns():
    method = SemanticGenesis(YNet3D(width=2, num_classes=5))
    output = method(batch())
    assert [key for key, value in output.items() if value.requires_grad] == ["loss"]
    output["loss"].backward()
    assert all(p.grad is not None for p in method.parameters())


def test_restore():
    network, pair = YNet3D(width=2, num_classes=5).eval(), batch()
    restored = SemanticGenesis(network).restore(pair["image"])
    assert not restored.requires_grad and torch.equal(restored, network(pair["image"])[0])


def test_a_network_that_does_not_classify_is_refused():
    with pytest.raises(ValueError, match="network: must restore and classify.*found UNet3D.*TransVW"):
        SemanticGenesis(UNet3D(width=2))


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (torch.tensor([0, 5, 1]), "class: must be from 0 to 4; found 0 to 5. Set num_classes"),
        (torch.tensor([0, -1, 1]), "class: must be from 0 to 4; found -1 to 1"),
        (torch.tensor([0, 1]), r"class: must be 3 whole numbers, one a cube; found \(2,\)"),
        (torch.tensor([[0], [1], [1]]), r"found \(3, 1\)"),
        (torch.tensor([0.0, 1.0, 1.0]), "whole numbers.*float32"),
        (None, "class: must be in the batch; found image, target. Take batches from"),
    ],
)
def test_bad_classes(classes, words):
    method, pair = SemanticGenesis(YNet3D(width=2, num_classes=5)), batch()
    pair = {**pair, "class": classes} if classes is not None else {k: v for k, v in pair.items() if k != "class"}
    with pytest.raises(ValueError, match=words):
        method(pair)


class Patterns(Dataset):
    """Two classes that differ in their grey value; corrupted by noise."""

    def __len__(self):
        return 6

    def __getitem__(self, key):
        index = key[1]
        target = torch.full((1, 8, 8, 8), 0.2 + 0.6 * (index % 2))
        noise = torch.rand(target.shape, generator=torch.Generator().manual_seed(index))
        return {"image": target + 0.1 * noise, "target": target, "class": index % 2}


@pytest.mark.parametrize("decoder", [True, False])
def test_through_the_engine(decoder):
    """A few steps learn the classes, and the evaluator averages the parts over samples (batches of 4 and 2)."""
    torch.manual_seed(0)
    method = SemanticGenesis(YNet3D(width=2, num_classes=2, decoder=decoder))
    loader = DataLoader(Patterns(), 6, sampler=SeededSampler(6), drop_last=True)
    trainer = PretextTrainer("cpu", 12, loader, method, torch.optim.Adam(method.parameters(), 0.01))
    trainer.run()
    assert set(trainer.state.metrics) == {"loss", *method.parts}
    assert trainer.state.metrics["classification"] < 0.5 < math.log(2)
    fixed = DataLoader(Patterns(), 4, sampler=SeededSampler(6, shuffle=False, fixed=True))
    evaluator = PretextEvaluator("cpu", fixed, method)
    evaluator.run()
    with torch.no_grad():
        whole = method.eval()(next(iter(DataLoader(Patterns(), 6, sampler=SeededSampler(6)))))
    for name in ("loss", *method.parts):
        assert evaluator.state.metrics[name] == pytest.approx(whole[name].item(), rel=1e-3)
