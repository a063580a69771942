"""The AUC and its interval against scikit-learn, a slow bootstrap, and the interval's own promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from medgenesis.inference import auc_interval
from medgenesis.inference.auc import _auc


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=30))
def test_weighted_records_give_what_scikit_learn_gives(records):
    truth, scores, weights = map(np.array, zip(*sorted(records, key=lambda one: one[1]), strict=True))
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    found = _auc(truth, weights, starts)
    if min(weights[truth].sum(), weights[~truth].sum()) == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(truth, scores, sample_weight=weights))


def test_the_interval_is_that_of_a_slow_bootstrap_over_patients():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 40)
    scores, patients = truth + rng.normal(0, 1.5, 40), np.repeat(np.arange(10), 4)
    auc, low, high = auc_interval(truth, scores, patients, draws=300, seed=5)
    generator, drawn = np.random.default_rng(5), []
    for _ in range(300):
        rows = np.concatenate([np.flatnonzero(patients == patient) for patient in generator.integers(10, size=10)])
        drawn.append(roc_auc_score(truth[rows], scores[rows]))
    assert auc == pytest.approx(roc_auc_score(truth, scores))
    assert (low, high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))


def test_images_of_one_patient_widen_the_interval():
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.integers(0, 2, 12), 10)
    scores = truth + np.repeat(rng.normal(0, 1, 12), 10)
    alone, grouped = auc_interval(truth, scores), auc_interval(truth, scores, np.repeat(np.arange(12), 10))
    assert alone[0] == grouped[0] and grouped[2] - grouped[1] > 2 * (alone[2] - alone[1])


def test_nineteen_of_twenty_intervals_hold_the_truth():
    rng, held = np.random.default_rng(3), 0
    truth = np.arange(80) % 2
    for seed in range(200):
        _, low, high = auc_interval(truth, truth + rng.normal(0, 1, 80), draws=200, seed=seed)
        held += low <= 0.7602 <= high  # of normal scores one standard deviation apart: Phi(1 / sqrt(2))
    assert 0.88 < held / 200 <= 0.99


def test_the_same_seed_gives_the_same_and_one_class_gives_none():
    truth, scores = [0, 1, 0, 1, 1], [0.1, 0.4, 0.35, 0.8, 0.2]
    assert auc_interval(truth, scores) == auc_interval(truth, scores)
    assert all(np.isnan(auc_interval([1, 1], [0.2, 0.3])))
