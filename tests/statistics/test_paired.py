"""Paired differences against loops that anybody can check."""

import itertools

import numpy as np
import pytest
from scipy import stats

from medgenesis.statistics import paired


def test_resampled_means_are_those_of_a_loop():
    values = np.random.default_rng(3).normal(size=(5, 7))
    found = paired.resampled_means(values, np.random.default_rng(1), 40)
    again = np.random.default_rng(1)
    weights = [again.multinomial(size, np.full(size, 1 / size), size=40) for size in values.shape]
    for number, mean in enumerate(found):
        drawn = [np.repeat(np.arange(size), one[number]) for size, one in zip(values.shape, weights, strict=True)]
        assert [len(one) for one in drawn] == list(values.shape)
        assert mean == pytest.approx(np.mean([values[d, p] for d, p in itertools.product(*drawn)]))


def test_variance_of_the_bootstrap_of_draws_alone_is_the_known_one():
    draws = np.random.default_rng(0).normal(size=12)
    means = paired.resampled_means(draws[:, None], np.random.default_rng(0), 40_000)
    assert means.std() == pytest.approx(draws.std() / np.sqrt(12), rel=0.02)  # of the mean of n drawn with replacement


def test_draws_that_differ_widen_the_interval_that_patients_alone_would_give():
    rng = np.random.default_rng(5)
    values = 0.02 + rng.normal(0, 0.05, (20, 1)) + rng.normal(0, 0.05, (1, 61))
    both = paired.difference(values)
    alone = paired.difference(np.repeat(values.mean(axis=0, keepdims=True), 20, axis=0))
    assert both.high - both.low > 1.2 * (alone.high - alone.low)
    assert both.low < both.mean < both.high and both.draws == 20 and both.patients == 61


@pytest.mark.parametrize("draws, patients", [(5, 20), (20, 10)])
def test_p_of_no_difference_is_seldom_small(draws, patients):
    """Draws vary as much as patients: the percentiles of five draws found a difference in 13 % of such cases."""
    rng = np.random.default_rng(7)
    values = [rng.normal(size=(draws, 1)) + rng.normal(size=(draws, patients)) for _ in range(300)]
    found = [paired.difference(one, seed=i, bootstrap=300).p for i, one in enumerate(values)]
    assert np.mean(np.array(found) < 0.05) < 0.08


def test_interval_and_p_agree_and_are_those_of_student_where_patients_do_not_differ():
    draws = np.random.default_rng(3).normal(0.4, 1, 8)
    found = paired.difference(np.repeat(draws[:, None], 50, axis=1), bootstrap=40_000)
    known = stats.ttest_1samp(draws, 0)
    low, high = known.confidence_interval()
    assert (found.low, found.high, found.p) == pytest.approx((low, high, known.pvalue), abs=0.02)


@pytest.mark.parametrize("value", [0.25, 0.1, -0.1, 1234.1])  # of 0.1 the draws differ by rounding
@pytest.mark.parametrize("shape", [(2, 2), (6, 9)])
def test_where_all_differ_alike_p_is_that_of_the_sign_test(value, shape):
    found, fewer = paired.difference(np.full(shape, value)), min(shape)
    assert found.p == pytest.approx(stats.binomtest(fewer, fewer).pvalue) and np.isnan([found.low, found.high]).all()
    assert paired.difference(np.zeros(shape)).p == 1


def test_holm_as_in_the_textbook():
    corrected = paired.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert corrected == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


def test_holm_rejects_what_the_step_down_procedure_rejects():
    rng = np.random.default_rng(2)
    for _ in range(200):
        p = dict(enumerate(rng.random(6) ** 3))
        rejected, order = set(), sorted(p, key=p.get)
        for rank, name in enumerate(order):
            if p[name] >= 0.05 / (len(p) - rank):
                break
            rejected.add(name)
        assert {name for name, value in paired.holm(p).items() if value < 0.05} == rejected


def test_words():
    assert paired.verdict(0.1, 0.01) == "helps" and paired.verdict(-0.1, 0.01) == "harms"
    assert paired.verdict(0.1, 0.05) == paired.verdict(0.1, float("nan")) == "no difference shown"
