"""The momentum branch and its queue by hand: order of events, what moves, what stays."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from helpers.views import Backbone, differing, state_of, two_views

from medgenesis.methods import MomentumContrast

pytestmark = pytest.mark.usefixtures("one_thread")


def contrast(seed=0, **settings):
    torch.manual_seed(seed)
    backbone = Backbone()
    return backbone, MomentumContrast(backbone, **{"dim": 5, "queue_size": 12, **settings})


def call(backbone, method, pair):
    return method(backbone(pair["image"]), pair["key"], backbone)


def changed(network, amount=0.1):
    """What an optimizer step would do."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(amount)


@pytest.mark.parametrize("prune_above", [None, 0.2, math.inf])
def test_loss_by_hand(prune_above):
    backbone, method = contrast(prune_above=prune_above, temperature=0.3)
    twin, queue, pair = copy.deepcopy(backbone), method.queue.keys.clone(), two_views()
    output = call(backbone, method, pair)
    with torch.no_grad():
        queries, keys = (F.normalize(method.head(twin(pair[name])), dim=1) for name in ("image", "key"))
    terms, pruned = [], []
    for q, k in zip(queries, keys, strict=True):
        others = [(q @ column).item() for column in queue.T]
        kept = [c for c in others if prune_above is None or c < prune_above]
        pruned.append(1 - len(kept) / len(others))
        own = math.exp((q @ k).item() / 0.3)
        terms.append(-math.log(own / (own + sum(math.exp(c / 0.3) for c in kept))))
    assert output["loss"].item() == pytest.approx(sum(terms) / 4, rel=1e-5)
    assert output["positive"].item() == pytest.approx((queries * keys).sum(1).mean().item(), abs=1e-5)
    assert output["negative"].item() == pytest.approx((queries @ queue).mean().item(), abs=1e-5)
    assert set(output) == {"loss", *method.parts} and ("pruned" in method.parts) == (prune_above is not None)
    if prune_above is not None:
        assert output["pruned"].item() == pytest.approx(sum(pruned) / 4, abs=1e-6)
        assert (output["pruned"] > 0) == (prune_above == 0.2)
    assert torch.equal(method.queue.keys[:, :4].T, keys) and torch.equal(method.queue.keys[:, 4:], queue[:, 4:])


def test_key_branch_starts_as_a_copy_of_what_the_query_branch_is_at_the_first_step():
    """Weights that were loaded after building are there too, with their running statistics."""
    backbone, method = contrast()
    changed(backbone)
    backbone.norm.running_mean.fill_(3.0)
    keys = copy.deepcopy(backbone)
    pair = two_views()
    call(backbone, method, pair)
    keys(pair["image"]), keys(pair["key"])  # the query branch's pass before it was copied, the key branch's after
    for name, value in keys.state_dict().items():
        assert torch.equal(method.key_encoder.state_dict()[name], value), name


def test_moving_average_by_hand_and_before_the_key_pass():
    backbone, method = contrast(momentum=0.9)
    pair = two_views()
    call(backbone, method, pair)
    before = {"encoder": copy.deepcopy(method.key_encoder), "head": copy.deepcopy(method.key_head)}
    changed(backbone), changed(method.head, -0.2)
    call(backbone, method, two_views(seed=1))
    for mine, old, new in (
        (method.key_encoder, before["encoder"], backbone),
        (method.key_head, before["head"], method.head),
    ):
        for a, b, c in zip(mine.parameters(), old.parameters(), new.parameters(), strict=True):
            torch.testing.assert_close(a, 0.9 * b + 0.1 * c)
    # the keys in the queue are those of the branch after it moved
    moved = copy.deepcopy(method.key_encoder)
    expected = F.normalize(method.key_head(moved(two_views(seed=1)["key"])), dim=1)
    assert torch.equal(method.queue.keys[:, 4:8].T, expected)


def test_running_statistics_come_from_the_key_branchs_own_passes():
    backbone, method = contrast(momentum=0.5)
    pairs = [two_views(seed=seed) for seed in range(3)]
    norm = torch.nn.BatchNorm2d(6)
    norm(backbone.conv(pairs[0]["image"]))  # what the key branch starts with
    for pair in pairs:
        call(backbone, method, pair)
        norm(method.key_encoder.conv(pair["key"]))
        changed(backbone)
    torch.testing.assert_close(method.key_encoder.norm.running_mean, norm.running_mean)
    torch.testing.assert_close(method.key_encoder.norm.running_var, norm.running_var)
    assert not torch.allclose(method.key_encoder.norm.running_mean, backbone.norm.running_mean)


@pytest.mark.parametrize("split_batch", [1, 2])
def test_evaluation_changes_nothing(split_batch):
    backbone, method = contrast(split_batch=split_batch)
    for seed in range(2):
        call(backbone, method, two_views(seed=seed))
    changed(backbone)
    both = torch.nn.ModuleDict({"backbone": backbone, "method": method}).eval()
    before, generator = state_of(both), torch.get_rng_state()
    first = call(backbone, method, two_views(batch=5))  # of a size that training would refuse
    assert differing(before, both) == set() and torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(call(backbone, method, two_views(batch=5))["loss"], first["loss"])
    both.train()
    call(backbone, method, two_views())
    assert {"method.queue.keys", "method.key_encoder.conv.weight", "backbone.norm.running_mean"} <= differing(
        before, both
    )


def test_gradients():
    backbone, method = contrast()
    for seed in range(3):  # the queue is overwritten before the gradient is computed
        call(backbone, method, two_views(seed=seed))["loss"].backward()
    trained = [*backbone.named_parameters(), *method.head.named_parameters()]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for name, p in trained if name != "conv.bias")
    frozen = [*method.key_encoder.parameters(), *method.key_head.parameters()]
    assert not any(p.requires_grad or p.grad is not None for p in frozen)
    assert {id(p) for p in method.parameters() if p.requires_grad} == {id(p) for p in method.head.parameters()}


def test_untrained_is_about_the_logarithm_of_the_queue():
    """Views of random directions against random directions: ln(K + 1), as the cosines are near nought."""
    torch.manual_seed(0)
    method = MomentumContrast(Backbone(), dim=1024, queue_size=65536, mlp=False)
    method.head[0] = method.key_head[0] = torch.nn.Linear(1024, 1024, bias=False)
    method.key_encoder = torch.nn.Flatten()
    output = method.eval()(torch.randn(16, 1024), torch.randn(16, 1024), torch.nn.Flatten())
    assert output["loss"].item() == pytest.approx(math.log(65537), abs=0.1)


def test_split_batch_norm():
    """Each half of the permuted keys is normalised by its own statistics, and its keys come back in order."""
    backbone, method = contrast(split_batch=2)
    twin, pair = copy.deepcopy(backbone), two_views()
    torch.manual_seed(5)
    call(backbone, method, pair)
    torch.manual_seed(5)
    order = torch.randperm(4)
    expected = torch.empty(4, 5)
    for group in (order[:2], order[2:]):
        expected[group] = F.normalize(method.head(twin(pair["key"][group])), dim=1).detach()
    torch.testing.assert_close(method.queue.keys[:, :4].T, expected)
    assert not torch.allclose(expected, F.normalize(method.head(twin(pair["key"])), dim=1), atol=1e-3)


def test_the_batch_is_refused_before_anything_changes():
    backbone, method = contrast()
    call(backbone, method, two_views())
    changed(backbone)
    features, before = backbone(two_views(5)["image"]), state_of(method)
    with pytest.raises(ValueError, match="found 12 and a global batch of 5. Nearest: a global batch of 4 or 6"):
        method(features, two_views(5)["key"], backbone)
    assert differing(before, method) == set()
    with pytest.raises(ValueError, match="found 12 and a global batch of 8"):
        method.check_batch(4, processes=2)
    method.check_batch(4, processes=3)
    with pytest.raises(ValueError, match="split_batch: must divide the batch size of a process; found 2 and 3"):
        contrast(split_batch=2)[1].check_batch(3)


def test_one_layer_and_two():
    assert [tuple(p.shape) for p in contrast(mlp=False)[1].head.parameters()] == [(5, 6), (5,)]
    assert [name for name, _ in contrast()[1].head.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_settings(caplog):
    for wrong in (dict(momentum=1.1), dict(temperature=0.0), dict(split_batch=0)):
        with pytest.raises(ValueError, match="momentum, temperature, split_batch: must be"):
            contrast(**wrong)
    with pytest.raises(ValueError, match="must have out_channels.*found Flatten"):
        MomentumContrast(torch.nn.Flatten())
    assert not caplog.text
    contrast(prune_above=-1.0)
    assert "every negative" in caplog.text
