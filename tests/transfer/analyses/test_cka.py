"""Similarity of features against closed forms and a slow computation; what a fine-tuned encoder has kept."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.networks import EncoderClassifier, UNet3D
from medgenesis.transfer import linear_cka, report_reuse
from medgenesis.transfer.analyses.separability import separability


def slow_hsic(k, m):
    """The unbiased estimate of Song et al., by its sum over tuples of different indices."""
    n, total = len(k), 0.0
    for i in range(n):
        for j in range(n):
            for q in range(n):
                for r in range(n):
                    if len({i, j, q, r}) == 4:
                        total += k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
    return total / (n * (n - 1) * (n - 2) * (n - 3))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 7))
def test_it_is_that_of_the_definition(seed, n):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((n, 3)), rng.standard_normal((n, 4))
    centring = np.eye(n) - 1 / n
    k, m = (centring @ one @ one.T @ centring for one in (x, y))
    plain = np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))
    assert linear_cka(x, y) == pytest.approx(plain)
    first, second = slow_hsic(k, k), slow_hsic(m, m)
    if first > 0 and second > 0:
        expected = slow_hsic(k, m) / np.sqrt(first * second)
        assert linear_cka(x, y, debiased=True) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e6, 1e6), st.integers(4, 30), st.booleans(), st.sampled_from((np.float32, np.float64)))
def test_a_constant_set_has_none_however_its_mean_is_rounded(value, n, debiased, kind):
    constant = np.full((n, 3), value, kind) * np.array([1, 0.1, 3], kind)
    other = np.random.default_rng(0).standard_normal((n, 4)).astype(kind)
    for pair in ((constant, other), (other, constant), (constant, constant)):
        assert np.isnan(linear_cka(*pair, debiased=debiased))
    assert linear_cka(np.c_[constant, other], other, debiased=False) > 0.99


def test_rotations_are_alike_and_unrelated_features_are_not():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 60))
    rotation = np.linalg.qr(rng.standard_normal((60, 60)))[0]
    for debiased in (False, True):
        assert linear_cka(x, 3 * x @ rotation + 7, debiased=debiased) == pytest.approx(1)
    other = rng.standard_normal((40, 60))
    assert linear_cka(x, other) > 0.5 and abs(linear_cka(x, other, debiased=True)) < 0.15
    assert np.isnan(linear_cka(x, np.ones((40, 2))))


def test_stages_that_were_not_changed_are_kept(tmp_path):
    """A classifier's file: its encoder counts; levels 1 and 2 as they were, 3 and 4 learnt anew."""
    torch.manual_seed(0)
    network, other = UNet3D(width=2).eval(), UNet3D(width=2)
    other.load_state_dict(network.state_dict())
    for level in other.encoder.levels[2:]:
        for weight in level.parameters():
            torch.nn.init.normal_(weight)
    torch.save(EncoderClassifier(other, 3).state_dict(), tmp_path / "classifier.pt")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    volumes = [{"image": torch.rand(1, 16, 16, 16)} for _ in range(8)]
    rows = report_reuse(network, tmp_path / "classifier.pt", volumes, (16, 16, 16), tmp_path / "reuse.csv")
    assert [(row["stage"], row["channels"]) for row in rows] == [(1, 4), (2, 8), (3, 16), (4, 32)]
    assert [row["cka"] for row in rows[:2]] == pytest.approx([1, 1]) and max(row["cka"] for row in rows[2:]) < 0.999
    assert (tmp_path / "reuse.csv").read_text().splitlines()[1].startswith("1,4,8,1.0000")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_separability_is_of_all_pairs():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((9, 5)) * rng.uniform(0.1, 9, (9, 1))
    found = separability(vectors)
    unit = [v / np.linalg.norm(v) for v in vectors]
    pairs = [np.linalg.norm(unit[i] - unit[j]) for i in range(9) for j in range(i)]
    assert found["pairs"] == len(pairs) == 36 and found["mean"] == pytest.approx(np.mean(pairs))
    assert found["sd"] == pytest.approx(np.std(pairs)) and found["q50"] == pytest.approx(np.median(pairs))
    assert separability(np.ones((3, 4)))["mean"] == 0
    with pytest.raises(ValueError, match="vectors: must be of two images"):
        separability(vectors[:1])


@pytest.mark.parametrize("shape", [(41, 5), (40,)])
@pytest.mark.parametrize("debiased", [False, True])
def test_features_of_other_images(shape, debiased):
    with pytest.raises(ValueError, match=r"one, other: must be .* found \(40, 3\) and"):
        linear_cka(np.zeros((40, 3)), np.zeros(shape), debiased=debiased)
