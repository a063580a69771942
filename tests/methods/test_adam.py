"""Adam by its loop, its levels, and through the engine."""

import copy
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from helpers.views import Backbone, Slabs, differing, loader_of, state_of, two_views

from medgenesis.engines import PretextEvaluator, PretextTrainer
from medgenesis.errors import CheckpointError
from medgenesis.methods import Adam
from medgenesis.networks import ResNet25D

pytestmark = pytest.mark.usefixtures("one_thread")


def adam(seed=0, **settings):
    torch.manual_seed(seed)
    return Adam(Backbone(), **{"dim": 5, "queue_size": 12, **settings})


def trained(method, epochs=2, count=8):
    loader = loader_of(Slabs(count))
    trainer = PretextTrainer("cpu", epochs, loader, method, torch.optim.SGD(method.parameters(), 0.03, momentum=0.9))
    trainer.run()
    return trainer


@pytest.mark.parametrize("level", [1, 2, 4])
def test_a_loop_over_the_samples(level):
    method, pair = adam(level=level, prune_above=0.3), two_views()
    twin, queue = copy.deepcopy(method.network), method.discrimination.queue.keys.clone()
    output, head = method(pair), method.discrimination.head
    q, k = (F.normalize(head(twin(pair[name])), dim=1) for name in ("image", "key"))
    loss, pruned = 0.0, 0
    for i in range(4):
        similar = q[i] @ queue
        kept = similar[similar < 0.3]
        pruned += len(similar) - len(kept)
        positive = torch.exp(q[i] @ k[i] / 0.2)
        loss -= torch.log(positive / (positive + torch.exp(kept / 0.2).sum())) / 4
    assert pruned > 0 and output["loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert output["pruned"].item() == pytest.approx(pruned / 48, abs=1e-6)
    assert set(output) == {"loss", *method.parts}


def test_nothing_is_pruned_in_the_first_batches_and_validation_counts_none():
    early, none, always = (adam(level=2, **{"prune_above": -0.5, "prune_after": n}) for n in (2, 100, 0))
    for batch in range(4):
        pair = two_views(seed=batch)
        outputs = [method(pair) for method in (early, none, always)]
        assert [output["pruned"].item() > 0 for output in outputs] == [batch >= 2, False, True]
        assert torch.equal(outputs[0]["loss"], outputs[1 if batch < 2 else 2]["loss"])
        early.eval()(pair)
        assert early.discrimination.batches == batch + 1
        early.train()
    with pytest.raises(ValueError, match="prune_after: must be a number of batches"):
        adam(prune_after=-1)


def test_level_nought_prunes_nothing_whatever_the_threshold(caplog):
    whole, pair = adam(level=0, prune_above=-1.0), two_views()
    output, plain = whole(pair), adam(level=2, prune_above=1.01)(pair)
    assert output["pruned"] == 0 and torch.equal(output["loss"], plain["loss"])
    assert adam(level=2, prune_above=-0.5)(pair)["pruned"] > 0
    assert caplog.text.count("prune_above") == 1 and "no negative" in caplog.text  # of the 1.01 alone


def test_without_the_pruner():
    """As the paper's ablation: what is drawn at a level, and no negative dropped."""
    method, pair = adam(level=2, prune_above=None), two_views()
    output = method(pair)
    assert set(output) == {"loss", *method.parts} and "pruned" not in output
    assert torch.equal(output["loss"], adam(level=2, prune_above=1.01)(pair)["loss"])
    assert "pruned" not in trained(adam(level=2, prune_above=None)).state.metrics


@pytest.mark.parametrize("level", [-1, 1.0, True, "2"])
def test_levels(level):
    with pytest.raises(ValueError, match="level: must be a whole number from 0"):
        adam(level=level)


def test_settings_that_are_not_there():
    with pytest.raises(TypeError, match="queue_length"):
        adam(queue_length=3)


def test_through_the_engine():
    """Two epochs of 8 slabs in batches of 4: four batches of keys in a queue of twelve, or one round of sixteen."""
    method = adam(queue_size=16, level=2)
    trainer = trained(method)
    assert trainer.state.iteration == 4 and method.discrimination.queue.pointer.tolist() == [0]
    assert {"loss", "pruned", "positive", "negative"} <= set(trainer.state.metrics)
    assert trained(adam(), 2).method.discrimination.queue.pointer.tolist() == [4]


def test_learns():
    """To tell slabs of different brightness from the eight seen before them: from about ln 9 downwards."""
    method = adam(queue_size=8)
    losses = [trained(method, epochs, count=64).state.metrics["loss"] for epochs in (1, 15)]
    assert losses[1] < 0.75 * losses[0]


def test_the_same_seed_gives_the_same_run():
    first, second = (trained(adam(split_batch=2)).method for _ in range(2))
    assert differing(state_of(first), second) == set()
    assert differing(state_of(first), trained(adam(seed=1, split_batch=2)).method)


def test_a_batch_that_does_not_divide_the_queue_is_refused_before_training():
    method = adam(queue_size=15)
    before = state_of(method)
    with pytest.raises(ValueError, match="queue_size: must be a multiple of the global batch.*Nearest"):
        trained(method)
    assert differing(before, method) == set()


def test_validation_changes_nothing():
    method = adam(level=2)
    trained(method)
    before = state_of(method)
    evaluator = PretextEvaluator("cpu", loader_of(Slabs(6), 4), method)
    evaluator.run()
    assert differing(before, method) == set() and math.isfinite(evaluator.state.metrics["loss"])


def test_a_run_of_another_level_is_not_continued():
    """It would fit: the networks are the same."""
    checkpoint = trained(adam(level=0)).checkpoint()
    loader = loader_of(Slabs())
    trainers = [
        PretextTrainer("cpu", 2, loader, method, torch.optim.SGD(method.parameters(), 0.03, momentum=0.9))
        for method in (adam(level=0), adam(level=2))
    ]
    trainers[0].restore(checkpoint)
    with pytest.raises(CheckpointError, match="level = 0, now it is 2"):
        trainers[1].restore(checkpoint)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_on_a_real_backbone(name):
    torch.manual_seed(0)
    method, pair = Adam(ResNet25D(name), level=2, queue_size=8), two_views(side=32)
    for _ in range(2):
        method(pair)["loss"].backward()
    assert all(p.grad is not None for p in method.network.parameters())
    assert not any(p.requires_grad for p in method.discrimination.key_encoder.parameters())
    assert [k for k in method.state_dict() if k.startswith("network.")] == [
        f"network.{k}" for k in ResNet25D(name).state_dict()
    ]


def test_a_method_can_be_pickled():
    torch.manual_seed(0)
    method = Adam(ResNet25D("resnet18_w8"), dim=8, queue_size=8).eval()
    again = pickle.loads(pickle.dumps(method))
    batch = {name: torch.rand(4, 3, 32, 32) for name in ("image", "key")}
    assert torch.equal(again(batch)["loss"], method(batch)["loss"])
