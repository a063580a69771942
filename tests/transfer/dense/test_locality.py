"""Locality against scikit-learn and slow loops over pairs, and where the answer is known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score
from torch import nn

from medgenesis.transfer import DenseEmbedder, embed_landmarks, measure_locality

MARKS, XRAYS = ["p", "q", "r"], ["a", "b", "c", "d"]
LABELS = [mark for _ in XRAYS for mark in MARKS]
IMAGES = [xray for xray in XRAYS for _ in MARKS]


def cosine(u, v):
    return 1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v)


@pytest.mark.parametrize("k", [1, 3, 9])
def test_against_loops(k):
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(12, 6)) + 1.2 * np.array([np.eye(6)[MARKS.index(mark)] for mark in LABELS])
    found = measure_locality(vectors, LABELS, IMAGES, k=k)
    pairs = [(i, j) for i in range(12) for j in range(i)]
    within = [cosine(vectors[i], vectors[j]) for i, j in pairs if LABELS[i] == LABELS[j]]
    between = [cosine(vectors[i], vectors[j]) for i, j in pairs if LABELS[i] != LABELS[j]]
    assert found["distance ratio"] == pytest.approx(np.mean(within) / np.mean(between))
    assert found["silhouette"] == pytest.approx(silhouette_score(vectors, LABELS, metric="cosine"))
    right = 0
    for i in range(12):
        others = sorted((cosine(vectors[i], vectors[j]), LABELS[j]) for j in range(12) if IMAGES[j] != IMAGES[i])
        votes = [label for _, label in others[: min(k, 3)]]
        right += max(sorted(set(votes)), key=votes.count) == LABELS[i]
    assert found["accuracy"] == pytest.approx(right / 12)


def test_perfect_and_constant_embeddings():
    perfect = np.array([np.eye(3)[MARKS.index(mark)] for mark in LABELS]) * np.arange(1, 13)[:, None]
    found = measure_locality(perfect, LABELS, IMAGES)
    assert found["accuracy"] == 1 and found["silhouette"] == pytest.approx(1)
    assert found["distance ratio"] == pytest.approx(0, abs=1e-12)
    constant = measure_locality(np.ones((12, 4)), LABELS, IMAGES)
    assert constant["silhouette"] == pytest.approx(0) and constant["distance ratio"] == 1


def test_the_image_itself_does_not_vote():
    """A vector's nearest is of its own X-ray and another landmark; the next ones, of other X-rays, are right."""
    angles = {"p": (0, 40), "q": (1, 41)}  # degrees on two X-rays: p and q of an X-ray are nearer than p and p
    vectors = np.radians([[angles[mark][xray] for mark in "pq"] for xray in (0, 1)]).ravel()
    vectors = np.stack([np.cos(vectors), np.sin(vectors), [0, 0.3, 0, 0.3]], axis=1)
    apart = np.array([[cosine(u, v) for v in vectors] for u in vectors]) + 9 * np.eye(4)
    assert apart.argmin(axis=1).tolist() == [1, 0, 3, 2]  # with its own X-ray, all would be wrong
    assert measure_locality(vectors, [*"pqpq"], [*"aabb"], k=1)["accuracy"] == 1


@pytest.mark.parametrize(
    ("vectors", "labels", "images", "message"),
    [
        (np.full((12, 2), np.nan), LABELS, IMAGES, "finite"),
        (np.ones((12, 2)), LABELS[:-1], IMAGES, "12|11"),
        (np.ones((12, 2)), ["p"] * 12, IMAGES, "found 1 kinds"),
        (np.ones((12, 2)), LABELS, ["a"] * 12, "1 images"),
        (np.ones((3, 2)), MARKS, XRAYS[:3], "found 3 kinds of 3"),
    ],
)
def test_what_has_no_locality(vectors, labels, images, message):
    with pytest.raises(ValueError, match=message):
        measure_locality(vectors, labels, images)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3))


def test_landmarks_are_embedded_with_their_names():
    images = {"a": torch.full((2, 9, 9), 0.25), "b": torch.full((2, 9, 9), 0.5), "none": torch.rand(2, 9, 9)}
    table = {"b": {"q": (3.0, 4.0)}, "a": {"p": (4.0, 4.0), "q": (5.0, 4.0)}, "elsewhere": {"p": (100.0, 4.0)}}
    vectors, labels, names = embed_landmarks(DenseEmbedder(Mean(), 3), images, table)
    assert labels == ["p", "q", "q"] and names == ["a", "a", "b"]
    np.testing.assert_allclose(vectors, [[0.25, 0.25], [0.25, 0.25], [0.5, 0.5]])
    with pytest.raises(ValueError, match="none of"):
        embed_landmarks(DenseEmbedder(Mean(), 3), {"x": images["a"]}, table)
