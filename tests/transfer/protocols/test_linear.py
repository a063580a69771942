"""The linear protocol against scikit-learn used directly, and on classes whose answer is known."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from medgenesis.transfer.protocols.knn import Knn, knn
from medgenesis.transfer.protocols.linear import GRID, Linear, linear
from medgenesis.transfer.protocols.study_rows import split_rows


def toy(count=150, classes=2, apart=1.5, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    vectors = (apart * np.eye(classes, 6)[labels] + generator.normal(size=(count, 6))) * [1, 5, 1, 1, 9, 1] + 3
    sections = np.array(["training", "validation", "test"])[np.arange(count) % 3]
    return vectors.astype(np.float32), labels, sections, np.arange(count)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_same_as_scikit_learn_by_hand(classes):
    vectors, labels, sections, patients = toy(classes=classes)
    result = linear(vectors, labels, sections, patients, Linear((0.01, 1.0), "accuracy"))
    train, valid, test = (sections == name for name in ("training", "validation", "test"))
    scores, losses = {}, {}
    for c in (0.01, 1.0):
        mean, deviation = vectors[train].astype(float).mean(0), vectors[train].astype(float).std(0)
        model = LogisticRegression(C=c, max_iter=1000).fit((vectors[train] - mean) / deviation, labels[train])
        shown = (vectors[valid] - mean) / deviation
        scores[c], losses[c] = model.score(shown, labels[valid]), log_loss(labels[valid], model.predict_proba(shown))
    c = max(scores, key=lambda one: (scores[one], -losses[one]))
    both = train | valid
    mean, deviation = vectors[both].astype(float).mean(0), vectors[both].astype(float).std(0)
    model = LogisticRegression(C=c, max_iter=1000)
    model.fit(np.r_[vectors[train], vectors[valid]] / deviation - mean / deviation, np.r_[labels[train], labels[valid]])
    asked = model.predict_proba((vectors[test] - mean) / deviation)
    assert result.c == c and [row["score"] for row in result.tried] == [scores[0.01], scores[1.0]]
    assert [row["log_loss"] for row in result.tried] == pytest.approx([losses[0.01], losses[1.0]], abs=1e-4)
    assert np.allclose(result.probabilities, asked, atol=1e-3)
    figures = {name: figure["value"] for name, figure in result.figures.items()}
    assert figures["accuracy"] == pytest.approx(accuracy_score(labels[test], asked.argmax(1)))
    options = {"multi_class": "ovr"} if classes > 2 else {}
    known = asked if classes > 2 else asked[:, 1]
    assert figures["auc"] == pytest.approx(roc_auc_score(labels[test], known, **options), abs=1e-3)
    assert figures["auc"] > 0.5


def test_of_equal_aucs_the_answers_decide():
    """Classes that are apart have an AUC of 1 at every C; at the smallest all answers are the more frequent class."""
    generator = np.random.default_rng(0)
    labels = (np.arange(90) % 3 == 0).astype(int)
    vectors = (10 * labels[:, None] + generator.normal(size=(90, 4))).astype(np.float32)
    sections = np.array(["training", "validation", "test"])[np.arange(90) // 30]
    table = vectors, labels, sections, np.arange(90)
    found = linear(*table, Linear())
    assert {row["score"] for row in found.tried} == {1.0}
    assert found.figures["auc"]["value"] == found.figures["balanced_accuracy"]["value"] == 1
    losses = [row["log_loss"] for row in found.tried]
    assert found.c == found.tried[int(np.argmin(losses))]["c"]
    assert linear(*table, Linear((1e-5,))).figures["balanced_accuracy"]["value"] == 0.5
    assert linear(*table, Linear.as_published()).c == max(Linear().grid)  # the program that was published


def test_classes_that_are_apart_are_told():
    table = toy(apart=50)
    assert linear(*table, Linear((1.0,))).figures["auc"]["value"] == 1
    figures, rows, _ = knn(*toy(apart=500), Knn(k=5))
    assert figures["accuracy"]["value"] == 1 and len(rows) == 50


def test_the_grid_is_the_studys():
    assert len(GRID) == 45 and GRID[0] == pytest.approx(1e-5) and GRID[-1] == pytest.approx(1e6)
    assert any(value == pytest.approx(5623.413, abs=1e-3) for value in GRID)


def test_compat_draws_the_validation_by_image_as_numpy_seed_0():
    _, labels, sections, patients = toy()
    train, valid, test = split_rows(labels, sections, patients, by_image=True, seed=0)
    pool = np.concatenate([np.flatnonzero(sections == "training"), np.flatnonzero(sections == "validation")])
    assert np.array_equal(valid, pool[np.random.RandomState(0).permutation(100)[:20]]) and len(train) == 80
    assert set(test) == set(np.flatnonzero(sections == "test"))
    result = linear(*toy(), Linear.as_published((0.1, 10.0)))
    assert [row["c"] for row in result.tried] == [10.0, 0.1]  # from the largest


def test_a_list_without_validation_takes_patients_of_the_training():
    vectors, labels, sections, _ = toy()
    sections = np.where(sections == "validation", "training", sections)
    patients = np.arange(150) // 4
    labels = patients % 2
    train, valid, _ = split_rows(labels, sections, patients, by_image=False, seed=0)
    assert not {*patients[train]} & {*patients[valid]} and 10 < len(valid) < 40


def test_what_cannot_be_fitted_is_refused():
    vectors, labels, sections, patients = toy()
    with pytest.raises(ValueError, match="^metric, grid: must be one of .* found 'f1'"):
        linear(vectors, labels, sections, patients, Linear(metric="f1"))
    with pytest.raises(ValueError, match="found 50, 50 and 0 records"):
        linear(vectors, labels, np.where(sections == "test", "other", sections), patients, Linear())
    with pytest.raises(ValueError, match="^k, temperature"):
        knn(vectors, labels, sections, patients, Knn(k=0))


def test_a_single_number_is_compared_by_distance():
    numbers = np.array([1.0, 2, 11, 12, 1.5, 11.5])[:, None]
    sections = np.array(["training"] * 4 + ["test"] * 2)
    labels = np.array([0, 0, 1, 1, 0, 1])
    for scale in (1, 1000):
        figures, _, scores = knn(scale * numbers, labels, sections, np.arange(6), Knn(k=2, distance="standardised"))
        assert figures["auc"]["value"] == 1 and scores.tolist() == [[1, 0], [0, 1]]


def test_neighbours_vote_by_their_cosine():
    known = np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0], [0.6, 0.8]], float)
    labels = np.array([0, 0, 1, 1, 0])
    sections = np.array(["training"] * 4 + ["test"])
    _, rows, scores = knn(known, labels, sections, np.arange(5), Knn(k=3, temperature=0.5))
    cosines = sorted(
        ((float(a @ known[4] / np.linalg.norm(a)), label) for a, label in zip(known[:4], labels[:4], strict=True)),
        reverse=True,
    )
    votes = np.zeros(2)
    for cosine, label in cosines[:3]:
        votes[label] += np.exp(cosine / 0.5)
    assert rows.tolist() == [4] and np.allclose(scores[0], votes / votes.sum())


@pytest.mark.parametrize("temperature", [0.07, 1e-3, 1e-5, 1e-300])
def test_votes_of_any_temperature(temperature):
    """Far from all neighbours every exp(cosine / temperature) is as good as 0, and the votes still have a ratio."""
    known = np.array([[1, 0.1], [1, 0.11], [1, 0.5], [-1, -1]], float)
    labels, sections = np.array([0, 1, 1, 0]), np.array(["training"] * 3 + ["test"])
    scores = knn(known, labels, sections, np.arange(4), Knn(k=3, temperature=temperature))[2][0]
    units = known / np.linalg.norm(known, axis=1, keepdims=True)
    exponents = [float(one @ units[3]) / temperature for one in units[:3]]
    votes = np.exp(np.array(exponents) - max(exponents))
    assert scores == pytest.approx([votes[0] / votes.sum(), votes[1:].sum() / votes.sum()], abs=1e-6)
