"""Measures, intervals and paired tests against scikit-learn and slow loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from medgenesis.transfer.scores import Drawn, Judge, intervals, paired_difference, patient_draws


@given(st.integers(0, 10**6), st.integers(2, 4))
@settings(max_examples=30, deadline=None)
def test_weights_are_repetitions(seed, classes):
    generator = np.random.default_rng(seed)
    truth = np.r_[np.arange(classes), generator.integers(0, classes, 30)]
    scores = generator.dirichlet(np.ones(classes), len(truth)).round(2)  # ties
    weights = generator.integers(0, 3, len(truth))
    weights[:classes] = 1  # each class is there
    found = Judge(truth, scores)(weights)
    rows = np.repeat(np.arange(len(truth)), weights)
    answers = scores.argmax(1)
    assert found["accuracy"] == pytest.approx((answers[rows] == truth[rows]).mean())
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth[rows], answers[rows]))
    judged = [1] if classes == 2 else range(classes)
    aucs = [roc_auc_score(truth[rows] == one, scores[rows, one]) for one in judged]
    assert found["auc"] == pytest.approx(np.mean(aucs))


def test_the_interval_is_of_patients_drawn_with_replacement():
    generator = np.random.default_rng(1)
    patients, truth = np.repeat(np.arange(10), 3), np.tile([0, 1, 0], 10)
    scores = generator.dirichlet([1, 1], 30)
    figure = intervals(Judge(truth, scores), patients, draws=200, seed=5)["accuracy"]
    draws, found = np.random.default_rng(5), []
    for _ in range(200):
        rows = [row for patient in draws.integers(10, size=10) for row in np.flatnonzero(patients == patient)]
        found.append((scores.argmax(1)[rows] == truth[rows]).mean())
    assert [figure["low"], figure["high"]] == pytest.approx(np.percentile(found, [2.5, 97.5]).tolist())
    assert all(weights.sum() == 30 for weights in patient_draws(patients, 5, 0))


def test_paired_tests_see_what_is_the_same_and_what_is_not():
    truth = np.tile([0, 1], 50)
    good, bad = np.eye(2)[truth], np.full((100, 2), 0.5)
    drawn = [Drawn.of(Judge(truth, one), np.arange(100), draws=100) for one in (good, bad)]
    same = paired_difference(drawn[0], drawn[0])["accuracy"]
    assert same["value"] == same["low"] == same["high"] == 0 and same["p"] == 1
    better = paired_difference(*drawn)["auc"]
    assert better["value"] == 0.5 and better["p"] == pytest.approx(2 / 101)


def test_one_class_or_one_patient_gives_no_number():
    assert np.isnan(Judge(np.zeros(4, int), np.full((4, 2), 0.5))()["auc"])
    assert np.isnan(intervals(Judge(np.array([0, 1]), np.eye(2)), np.zeros(2))["accuracy"]["low"])
