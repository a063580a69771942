"""What few-shot, knn and linear refuse: features and labels that would give plausible figures, or an IndexError."""

import numpy as np
import pytest

from medgenesis.transfer import scratch
from medgenesis.transfer.protocols.few_shot import FewShot, few_shot
from medgenesis.transfer.protocols.knn import Knn, knn
from medgenesis.transfer.protocols.known_table import check_vectors
from medgenesis.transfer.protocols.linear import Linear, linear

LABELS = np.arange(60) % 3
SECTIONS = np.array(["training", "training", "validation", "test", "unlabeled"])[np.arange(60) // 3 % 5]
PATIENTS = np.arange(60)


def table():
    return (np.random.default_rng(0).normal(size=(60, 4)) + 3 * np.eye(3, 4)[LABELS]).astype(np.float32)


def ask(question, vectors, labels):
    """Figures of one of the three."""
    if question == "few_shot":
        return few_shot(vectors, labels, PATIENTS, FewShot(shots=2, queries=3, episodes=5)).figures
    if question == "knn":
        return knn(vectors, labels, SECTIONS, PATIENTS, Knn(k=5))[0]
    return linear(vectors, labels, SECTIONS, PATIENTS, Linear((0.1, 1.0))).figures


every = pytest.mark.parametrize("question", ["few_shot", "knn", "linear"])


@every
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused_with_the_row(question, value):
    vectors = table()
    vectors[13, 2] = value
    with pytest.raises(ValueError, match=r"^vectors: must be finite; found NaN or infinity in row 13\. "):
        ask(question, vectors, LABELS)
    for vectors in (table()[:, 0], table()[:, :, None]):
        with pytest.raises(ValueError, match=r"^vectors: must be a table \(N, d\); found shape \(60"):
            ask(question, vectors, LABELS)


def test_a_row_is_named_in_any_chunk(monkeypatch):
    monkeypatch.setattr(scratch, "_CHUNK", 7)
    vectors = table()
    check_vectors(vectors)
    vectors[[41, 59]] = np.nan
    with pytest.raises(ValueError, match="in row 41"):
        check_vectors(vectors)


@every
@pytest.mark.parametrize("labels", [LABELS.astype(float), LABELS > 0, LABELS.astype(str)])
def test_labels_that_are_no_whole_numbers_are_refused_with_their_type(question, labels):
    with pytest.raises(ValueError, match=f"^labels: must be whole numbers, .*; found {labels.dtype}"):
        ask(question, table(), labels)


@every
@pytest.mark.parametrize("section", ["training", "validation", "test", "unlabeled"])
def test_a_record_without_class_neither_votes_nor_is_judged(question, section):
    labels = LABELS.copy()
    labels[np.flatnonzero(SECTIONS == section)[:2]] = -1
    if question == "few_shot":  # it is left out there
        known = labels >= 0
        settings = FewShot(shots=2, queries=3, episodes=5)
        found = few_shot(table(), labels, PATIENTS, settings).figures
        assert found == few_shot(table()[known], labels[known], PATIENTS[known], settings).figures
    elif section == "unlabeled":
        assert ask(question, table(), labels) == ask(question, table(), LABELS)
    else:
        with pytest.raises(ValueError, match="^labels: must be from 0 in every record .*; found -1"):
            ask(question, table(), labels)


@every
def test_labels_of_any_integers(question):
    for kind in (np.uint8, np.int16, np.int32):
        assert ask(question, table(), LABELS.astype(kind)) == ask(question, table(), LABELS)
