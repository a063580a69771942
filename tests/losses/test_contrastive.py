"""InfoNCE and the purposive pruner against loops over samples."""

import logging
import math

import pytest
import torch
import torch.nn.functional as F

from medgenesis.losses import check_threshold, info_nce, prune_negatives


def similarities(batch=5, size=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.rand(shape, generator=generator) - 1 for shape in ((batch,), (batch, size)))


def one_by_one(positive, negatives, temperature, threshold=math.inf):
    """The loss as it is written in the paper, in Python's double precision, and the share of pruned negatives."""
    terms, pruned = [], 0
    for p, row in zip(positive.tolist(), negatives.tolist(), strict=True):
        kept = [n for n in row if n < threshold]
        pruned += len(row) - len(kept)
        others = sum(math.exp(n / temperature) for n in kept)
        terms.append(-math.log(math.exp(p / temperature) / (math.exp(p / temperature) + others)))
    return sum(terms) / len(terms), pruned / negatives.numel()


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 0.8])
@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_equals_a_loop_over_samples(threshold, temperature):
    positive, negatives = similarities()
    keep = prune_negatives(negatives, threshold)
    expected, pruned = one_by_one(positive, negatives, temperature, threshold)
    assert 0 < pruned < 1
    assert info_nce(positive, negatives, temperature, keep).item() == pytest.approx(expected, rel=1e-5)
    assert 1 - keep.float().mean().item() == pytest.approx(pruned, abs=1e-6)


def test_gradients_equal_those_of_the_loop():
    positive, negatives = (tensor.double().requires_grad_() for tensor in similarities())
    ours = torch.autograd.grad(
        info_nce(positive, negatives, 0.2, prune_negatives(negatives, 0.3)), (positive, negatives)
    )
    loss = 0
    for p, row in zip(positive, negatives, strict=True):
        loss = loss - torch.log(torch.exp(p / 0.2) / (torch.exp(p / 0.2) + torch.exp(row[row < 0.3] / 0.2).sum()))
    loop = torch.autograd.grad(loss / len(positive), (positive, negatives))
    for a, b in zip(ours, loop, strict=True):
        torch.testing.assert_close(a, b)


def test_nothing_pruned_is_the_plain_cross_entropy():
    positive, negatives = similarities()
    keep = prune_negatives(negatives, 1.01)
    assert keep.all()
    logits = torch.cat([positive[:, None], negatives], 1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(5, dtype=torch.long))
    assert torch.equal(info_nce(positive, negatives, 0.2, keep), expected)
    assert torch.equal(info_nce(positive, negatives, 0.2), expected)


def test_the_threshold_itself_is_pruned():
    row = torch.tensor([[0.8, 0.8 - 1e-6, 0.8 + 1e-6]], dtype=torch.float64)
    assert prune_negatives(row, 0.8).tolist() == [[False, True, False]]


def test_without_negatives_the_loss_and_its_gradient_are_nought():
    positive, negatives = (tensor.requires_grad_() for tensor in similarities())
    loss = info_nce(positive, negatives, 0.2, prune_negatives(negatives, -1.0))
    loss.backward()
    assert loss.item() == 0 and not positive.grad.any() and not negatives.grad.any()


def test_random_embeddings_give_the_logarithm_of_their_number():
    """Orthogonal on average: e^0 for each of K + 1."""
    torch.manual_seed(0)
    queries, keys = (F.normalize(torch.randn(n, 4096), dim=1) for n in (64, 2048))
    loss = info_nce(torch.zeros(64), queries @ keys.T, 0.2)
    assert loss.item() == pytest.approx(math.log(2049), abs=0.02)


@pytest.mark.parametrize(("threshold", "said"), [(1.01, "no negative"), (1.0, "no negative"), (-1, "every negative")])
def test_thresholds_without_meaning_are_told(threshold, said, caplog):
    with caplog.at_level(logging.WARNING):
        check_threshold(threshold)
    assert said in caplog.text and "prune_above" in caplog.text


def test_thresholds(caplog):
    check_threshold(0.8)
    assert not caplog.text
    with pytest.raises(ValueError, match="prune_above: must be a cosine.*found nan"):
        check_threshold(math.nan)
