"""Barlow Twins and SimSiam's cosine against closed forms, loops and MONAI."""

import math

import pytest
import torch
from monai.losses import BarlowTwinsLoss

from medgenesis.losses import barlow_twins, negative_cosine


def embeddings(seed=0, n=6, features=4):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(n, features, generator=generator, dtype=torch.float64) for _ in range(2))


def by_loops(first, second, weight):
    n, features = first.shape
    total = 0.0
    for i in range(features):
        for j in range(features):
            a, b = first[:, i].tolist(), second[:, j].tolist()
            a, b = ([v - sum(x) / n for v in x] for x in (a, b))
            size = math.sqrt(sum(v * v for v in a) * sum(v * v for v in b))
            c = sum(x * y for x, y in zip(a, b, strict=True)) / size
            total += (1 - c) ** 2 if i == j else weight * c**2
    return total


@pytest.mark.parametrize("weight", [0.005, 1.0])
def test_barlow_equals_loops(weight):
    first, second = embeddings()
    assert barlow_twins(first, second, weight).item() == pytest.approx(by_loops(first, second, weight), rel=1e-4)


def test_barlow_of_uncorrelated_equal_views_is_nought_and_of_opposite_ones_four_a_feature():
    hadamard = torch.tensor([[1.0, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]])  # orthogonal columns, mean 0
    assert barlow_twins(hadamard, hadamard).item() == pytest.approx(0, abs=1e-8)
    assert barlow_twins(5 + hadamard * torch.tensor([1.0, 3, 9]), hadamard).item() == pytest.approx(0, abs=1e-8)
    assert barlow_twins(hadamard, -hadamard).item() == pytest.approx(4 * 3, rel=1e-4)


def test_barlow_of_one_feature_said_thrice():
    """C is 1 everywhere: nothing on the diagonal, six outside."""
    column = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]).repeat(1, 3)
    assert barlow_twins(column, column, 0.005).item() == pytest.approx(0.005 * 6, rel=1e-4)


def test_barlow_beside_monais():
    """MONAI's correlations are smaller by (N - 1) / N, so that its diagonal does not reach 1."""
    first, second = (tensor.float() for tensor in embeddings(n=500))
    theirs = BarlowTwinsLoss()(first, second).item()
    assert barlow_twins(first, second).item() == pytest.approx(theirs, rel=2e-3)


def test_barlow_refuses():
    with pytest.raises(ValueError, match="at least 2 images"):
        barlow_twins(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"must be two \(N, F\); found \(2, 3\) and \(2, 4\)"):
        barlow_twins(torch.ones(2, 3), torch.ones(2, 4))


def test_negative_cosine():
    angles = torch.tensor([0.0, math.pi / 3, math.pi / 2, math.pi])
    prediction = 7 * torch.stack([angles.cos(), angles.sin()], dim=1)
    target = torch.tensor([[0.5, 0.0]]).repeat(4, 1)
    assert negative_cosine(prediction, target).item() == pytest.approx(-(1 + 0.5 + 0 - 1) / 4, abs=1e-6)


def test_negative_cosine_has_no_gradient_to_the_target():
    prediction, target = (tensor.requires_grad_() for tensor in embeddings())
    negative_cosine(prediction, target).backward()
    assert prediction.grad.abs().max() > 0 and target.grad is None


def test_negative_cosine_of_other_shapes():
    with pytest.raises(ValueError, match=r"target: must have the shape .* \(4, 3\); found \(1, 3\)"):
        negative_cosine(torch.rand(4, 3), torch.rand(1, 3))
