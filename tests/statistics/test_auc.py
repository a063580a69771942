"""The AUC and its interval against scikit-learn, the equation that it solves, and the interval's own promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from medgenesis.statistics.auc import SortedScores, auc_interval, in_full_order


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_it_is_that_of_scikit_learn_ties_and_any_order_included(records):
    truth, scores = map(np.array, zip(*records, strict=True))
    auc, low, high = auc_interval(truth, scores)
    if truth.all() or not truth.any():
        assert np.isnan([auc, low, high]).all()
    else:
        assert auc == pytest.approx(roc_auc_score(truth, scores)) and low <= auc <= high


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(st.booleans(), st.one_of(st.integers(0, 3), st.floats(-2, 2)), st.sampled_from((0, 1, 2, 0.25))),
        min_size=2,
        max_size=30,
    )
)
def test_weights_are_those_of_scikit_learn(records):
    truth, scores, weights = (np.array(one) for one in zip(*records, strict=True))
    scores, weights = scores.astype(float), weights.astype(float)
    found = SortedScores(truth, scores)
    if len(set(truth[weights > 0])) < 2:
        assert np.isnan(found.auc(weights))
    else:
        assert found.auc(weights) == pytest.approx(roc_auc_score(truth, scores, sample_weight=weights))
    if 0 < truth.sum() < len(truth):
        own, others = scores[truth], scores[~truth]
        pairs = [(a > b) + (a == b) / 2 for a in own for b in others]
        assert found.auc() == found.auc(np.ones(len(truth))) == sum(pairs) / len(pairs)
        assert found.auc() == auc_interval(truth, scores)[0]


def test_infinite_scores_are_above_and_below_all():
    assert (
        auc_interval([0, 1, 0, 1], [-np.inf, np.inf, 0.5, 0.4])[0] == auc_interval([0, 1, 0, 1], [-9, 9, 0.5, 0.4])[0]
    )


def test_at_the_ends_it_is_196_standard_errors_away():
    """Hanley and McNeil's variance at the end, with Newcombe's mean number; each patient has one record."""
    rng = np.random.default_rng(1)
    truth = np.arange(30) % 3 == 0  # 10 and 20
    scores = truth + rng.normal(0, 1.5, 30)
    auc, low, high = auc_interval(truth, scores)
    assert auc == pytest.approx(roc_auc_score(truth, scores)) and low < auc < high
    for end in (low, high):
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)  # two of a class above one of the other
        n = (10 + 20) / 2
        variance = (end * (1 - end) + (n - 1) * (q1 - end**2) + (n - 1) * (q2 - end**2)) / (10 * 20)
        assert abs(auc - end) == pytest.approx(1.96 * variance**0.5, rel=1e-4)


def test_patients_with_equally_many_images_are_as_many_records():
    rng = np.random.default_rng(4)
    truth = np.arange(12) % 2
    scores = truth + rng.normal(0, 1, 12)
    alone = auc_interval(truth, scores)
    assert auc_interval(np.repeat(truth, 7), np.repeat(scores, 7), np.repeat(np.arange(12), 7)) == pytest.approx(alone)
    uneven = np.repeat(np.arange(12), [40, 40, *[1] * 10])  # as few patients as have most of the images
    _, low, high = auc_interval(truth[uneven], scores[uneven], uneven)
    assert high - low > 0.6 > alone[2] - alone[1]


def test_images_of_one_patient_widen_the_interval():
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.integers(0, 2, 12), 10)
    scores = truth + np.repeat(rng.normal(0, 1, 12), 10)
    alone, grouped = auc_interval(truth, scores), auc_interval(truth, scores, np.repeat(np.arange(12), 10))
    assert alone[0] == pytest.approx(grouped[0]) and grouped[2] - grouped[1] > 2 * (alone[2] - alone[1])


@pytest.mark.parametrize("records", [6, 10, 80])
@pytest.mark.parametrize("apart, known", [(1, 0.7602), (2.326, 0.95)])  # of normal scores: Phi(apart / sqrt(2))
def test_nineteen_of_twenty_intervals_hold_the_truth(records, apart, known):
    """Percentiles of the bootstrap hold an AUC of 0.95 for 6, 10 and 80 patients in 27, 53 and 90 % of cases."""
    rng, held = np.random.default_rng(3), 0
    truth = np.arange(records) % 2
    for _ in range(400):
        _, low, high = auc_interval(truth, apart * truth + rng.normal(0, 1, records))
        held += low <= known <= high
    assert 0.9 < held / 400 <= 0.99


def test_a_perfect_answer_of_few_is_not_certain():
    auc, low, high = auc_interval([0, 0, 0, 1, 1, 1], range(6))
    assert auc == high == 1 and 0.3 < low < 0.7
    assert auc_interval([1, 1, 1, 0, 0, 0], range(6)) == pytest.approx((0, 0, 1 - low))


def test_one_class_and_one_patient_give_none():
    assert all(np.isnan(auc_interval([1, 1], [0.2, 0.3])))
    auc, *ends = auc_interval([0, 1], [0.2, 0.3], ["a", "a"])
    assert auc == 1 and all(np.isnan(ends))


@pytest.mark.parametrize("classes", [2, 3])
def test_answers_that_are_all_but_certain_keep_their_order(classes):
    logits = np.random.default_rng(0).normal(0, 25, (200, classes))
    logits -= logits.max(axis=1, keepdims=True)
    single = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    assert (single == 1).sum() > 20  # the order of these is told by the other classes alone
    for index, scores in enumerate(in_full_order(single).T):
        others = np.log(np.exp(np.delete(logits, index, axis=1)).sum(axis=1))
        odds = logits[:, index] - others
        between = np.abs(odds) < 80  # what single precision can hold
        assert (np.diff(scores[between][np.argsort(odds[between])]) >= -1e-6).all()
        assert len(np.unique(scores[between])) == between.sum()
