"""Nearest vectors and nearest patients, beside a loop over all of them."""

import sys

import numpy as np
import pytest

from medgenesis.errors import MissingPackageError
from medgenesis.mining import nearest
from medgenesis.mining.neighbours import NeighbourIndex, PatientNeighbours


def by_loop(features, references, k):
    """Sort all vectors by (distance, index), one reference after another."""
    indices, distances = [], []
    for reference in references:
        rows = [
            (float(np.sqrt(sum((float(a) - float(b)) ** 2 for a, b in zip(row, reference, strict=True)))), i)
            for i, row in enumerate(features)
        ]
        rows.sort()
        indices.append([i for _, i in rows[:k]])
        distances.append([distance for distance, _ in rows[:k]])
    return np.array(indices), np.array(distances)


def clusters(rng, groups=5, each=20, width=16, offset=0.0):
    centres = rng.normal(size=(groups, width)) * 10 + offset
    return (centres[:, None] + rng.normal(size=(groups, each, width))).reshape(-1, width)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_exact_is_the_loop(dtype, k):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 9)).astype(dtype)
    references = np.concatenate([features[[3, 50]], rng.normal(size=(2, 9))]).astype(dtype)
    indices, distances = nearest(features, references, k)
    expected = by_loop(features, references, k)
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_allclose(distances, expected[1], rtol=1e-12, atol=1e-12)
    assert indices.dtype == np.int64 and distances.dtype == np.float64


@pytest.mark.parametrize("k", [1, 2, 3, 10, 49])
def test_ties_go_by_index(k):
    """On a lattice most distances tie, also at the k-th place, where a partial sort chooses any."""
    rng = np.random.default_rng(1)
    features = rng.integers(0, 3, size=(50, 3)).astype(np.float32)
    indices, distances = nearest(features, features, k)
    expected = by_loop(features, features, k)
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_allclose(distances, expected[1], atol=1e-12)
    np.testing.assert_array_equal(nearest(np.ones((50, 3)), np.ones((1, 3)), k)[0], [np.arange(k)])


def test_vectors_far_from_zero_lose_no_digits():
    """||x||^2 - 2xy + ||y||^2 rounds away what lies between vectors of large norm."""
    rng = np.random.default_rng(2)
    features = 1e4 + 1e-3 * rng.normal(size=(80, 12))
    indices, distances = nearest(features, features[:10], 20)
    expected = by_loop(features, features[:10], 20)
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_allclose(distances, expected[1], rtol=1e-9)
    assert (distances[:, 0] == 0).all()


def test_a_built_index_answers_alike():
    features = clusters(np.random.default_rng(3))
    index = NeighbourIndex(features)
    whole = nearest(features, features[::10], 5)
    for i, row in enumerate(features[::10]):
        indices, distances = index.nearest(row[None], 5)
        np.testing.assert_array_equal(indices[0], whole[0][i])
        np.testing.assert_array_equal(distances[0], whole[1][i])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_by_its_row(value):
    features = np.zeros((6, 3), np.float32)
    features[4, 1] = value
    with pytest.raises(ValueError, match="features: .* row 4,"):
        nearest(features, np.zeros((1, 3)), 2)
    with pytest.raises(ValueError, match="references: .* row 4,"):
        nearest(np.zeros((6, 3)), features, 2)


@pytest.mark.parametrize("k", [0, 7])
def test_k_out_of_range_names_both_numbers(k):
    with pytest.raises(ValueError, match=f"6; found {k}. Ask for fewer"):
        nearest(np.zeros((6, 3)), np.zeros((1, 3)), k)


@pytest.mark.parametrize(
    "features, references, message",
    [
        (np.zeros(6), np.zeros((1, 6)), "features: must be a table"),
        (np.zeros((0, 6)), np.zeros((1, 6)), "features: .*not empty"),
        (np.zeros((4, 6)), np.zeros((0, 6)), "references: .*not empty"),
        (np.zeros((4, 6)), np.zeros((1, 5)), "6 columns as the features; found 5"),
    ],
)
def test_tables_that_do_not_fit(features, references, message):
    with pytest.raises(ValueError, match=message):
        nearest(features, references, 1)


def test_an_unknown_index():
    with pytest.raises(ValueError, match="exact, faiss; found 'kd'"):
        nearest(np.zeros((4, 6)), np.zeros((1, 6)), 1, index="kd")


def test_without_faiss_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingPackageError, match=r"pip install medgenesis\[faiss\].*exact"):
        nearest(np.zeros((4, 6)), np.zeros((1, 6)), 1, index="faiss")


def test_faiss_finds_nearly_all_and_the_same_twice():
    pytest.importorskip("faiss")
    features = clusters(np.random.default_rng(4), groups=40, each=50).astype(np.float32)
    expected = nearest(features, features[::50], 50)
    found = nearest(features, features[::50], 50, index="faiss")
    again = nearest(features, features[::50], 50, index="faiss")
    np.testing.assert_array_equal(found[0], again[0])
    shared = [len(set(a) & set(b)) / 50 for a, b in zip(found[0], expected[0], strict=True)]
    assert np.mean(shared) > 0.95
    assert (np.diff(found[1], axis=1) >= 0).all()


def test_faiss_gives_k_even_of_equal_vectors():
    pytest.importorskip("faiss")
    indices, _ = nearest(np.ones((300, 8), np.float32), np.ones((2, 8), np.float32), 300, index="faiss")
    assert [sorted(row) for row in indices.tolist()] == [list(range(300))] * 2


def patients_by_loop(features, patients, reference, k):
    best = {}
    for i, row in enumerate(features):
        distance = float(np.linalg.norm(row.astype(float) - reference))
        if patients[i] not in best or (distance, i) < best[patients[i]]:
            best[patients[i]] = (distance, i)
    return [(i, distance) for distance, i in sorted(best.values())[:k]]


@pytest.mark.parametrize("k", [1, 4, 9])
def test_patients_are_as_near_as_their_nearest_volume(k):
    rng = np.random.default_rng(5)
    patients = [f"p{i}" for i in rng.permutation(np.r_[np.arange(9), np.zeros(12, int), np.ones(5, int)])]
    features = rng.normal(size=(len(patients), 6))
    neighbours = PatientNeighbours(features, patients)
    for reference in features:
        found = neighbours.nearest(reference, k)
        expected = patients_by_loop(features, patients, reference, k)
        assert [i for i, _ in found] == [i for i, _ in expected]
        np.testing.assert_allclose([d for _, d in found], [d for _, d in expected], atol=1e-12)
