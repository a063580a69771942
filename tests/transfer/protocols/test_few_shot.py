"""Episodes against a loop that anybody can check, and what they promise about patients."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.transfer.protocols.few_shot import FewShot, _episode, _pools, few_shot, prototype_scores


def toy(per_class=30, classes=3, apart=6.0, seed=0, dims=5):
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    centres = apart * np.eye(classes, dims)
    return (centres[labels] + generator.normal(size=(len(labels), dims))).astype(np.float32), labels


def naive(vectors, labels, patients, choice):
    """Accuracy of each episode, one query after the other."""
    pools, _ = _pools(labels, patients, choice)
    generator, found = np.random.default_rng(choice.seed), []
    for _ in range(choice.episodes):
        support, query = _episode(pools, patients, choice.ways, choice, generator)
        right = 0
        for way in range(choice.ways):
            for row in query[way]:
                distances = [
                    sum(
                        (float(a) - float(np.mean([float(vectors[r][i]) for r in support[k]]))) ** 2
                        for i, a in enumerate(vectors[row])
                    )
                    for k in range(choice.ways)
                ]
                right += distances.index(min(distances)) == way
        found.append(right / query.size)
    return np.array(found)


@pytest.mark.parametrize("by_patient", [True, False])
def test_accuracy_and_interval_are_those_of_a_naive_loop(by_patient):
    vectors, labels = toy(apart=1.5)
    patients = np.arange(len(labels)) // 2  # two images a patient
    choice = FewShot(ways=2, shots=3, queries=4, episodes=12, by_patient=by_patient)
    result = few_shot(vectors, labels, patients, choice)
    expected = naive(vectors, labels, patients, choice)
    assert np.array_equal(result.accuracies, expected) and 0.5 < expected.mean() < 1
    figure = result.figures["episode_accuracy"]
    assert figure["value"] == pytest.approx(expected.mean())
    deviation = (sum((a - expected.mean()) ** 2 for a in expected) / len(expected)) ** 0.5
    assert figure["half_width"] == pytest.approx(1.96 * deviation / 12**0.5)
    assert result.correct.sum() / result.asked.sum() == pytest.approx(expected.mean())


def test_classes_that_are_apart_are_told_and_equal_ones_are_not():
    vectors, labels = toy(apart=60)
    assert few_shot(vectors, labels, np.arange(90), FewShot(episodes=20)).figures["accuracy"]["value"] == 1
    constant = few_shot(np.ones((90, 4)), labels, np.arange(90), FewShot(ways=3, episodes=20))
    assert constant.figures["accuracy"]["value"] == pytest.approx(1 / 3)  # ties go to the first class
    assert constant.figures["auc"]["value"] == pytest.approx(0.5)


@given(st.integers(0, 10**6), st.integers(2, 3), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_an_episode_has_no_patient_twice(seed, ways, shots, queries):
    generator = np.random.default_rng(seed)
    labels, patients = generator.integers(0, 3, 200), generator.integers(0, 60, 200)
    choice = FewShot(ways, shots, queries)
    pools, _ = _pools(labels, patients, choice)
    support, query = _episode(pools, patients, ways, choice, generator)
    rows = np.concatenate([support.ravel(), query.ravel()])
    assert len(set(patients[rows].tolist())) == ways * (shots + queries)
    assert all(len(set(labels[np.r_[support[way], query[way]]].tolist())) == 1 for way in range(ways))


def test_scores_are_log_odds_of_the_softmax_of_squared_distances():
    support, query = np.array([[[0.0, 0.0], [2.0, 0.0]], [[5.0, 0.0], [5.0, 2.0]]]), np.array([[1.0, 1.0]])
    assert np.allclose(prototype_scores(support, query), [[15.0, -15.0]])  # 1 to (1, 0), 16 to (5, 1)
    three = prototype_scores(np.concatenate([support, support[1:] + 1]), query)  # and 29 to (6, 2)
    assert np.allclose(three, [[15.0, -15.0, -25.0]])
    assert np.isfinite(prototype_scores(support + 1e6, query)).all()  # no overflow


@pytest.mark.parametrize("ways", [2, 3])
def test_no_figure_depends_on_the_scale_of_the_features(ways):
    vectors, labels = toy(apart=1.5, dims=40)
    choice = FewShot(ways=ways, queries=8, episodes=10)
    few = [few_shot(scale * vectors, labels, np.arange(90), choice).figures for scale in (0.125, 1, 128)]
    assert few[0] == few[1] == few[2] and 0.6 < few[0]["auc"]["value"] < 0.99


def test_a_class_with_too_few_patients_is_named_or_left_out():
    vectors, labels = toy()
    patients = np.where(labels == 2, 1000, np.arange(90))  # class 2: one patient
    with pytest.raises(ValueError, match=r"must have so many patients, 20 in all; found 1 of class 2\. Give fewer"):
        few_shot(vectors, labels, patients, FewShot())
    assert few_shot(vectors, labels, patients, FewShot(episodes=2, drop_small_classes=True)).left_out == [2]
    assert few_shot(vectors, labels, patients, FewShot(episodes=2, by_patient=False)).left_out == []
    with pytest.raises(ValueError, match="^ways: must be from 2 to the number of classes, 3; found 4"):
        few_shot(vectors, labels, np.arange(90), FewShot(ways=4))
