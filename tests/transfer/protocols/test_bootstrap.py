"""The interval against theory, another library, and its own promise of coverage."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from medgenesis.transfer import bootstrap_interval


def test_a_large_sample_has_the_interval_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(0.7, 0.1, 400)
    low, high = bootstrap_interval(values)
    half = 1.959964 * values.std() / np.sqrt(400)  # the bootstrap's own spread: without Bessel's correction
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=half / 20)
    assert (high - low) / 2 == pytest.approx(half, rel=0.04)


def test_scipy_gives_the_same():
    values = np.random.default_rng(1).beta(5, 2, 18)
    reference = bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(3))
    interval = reference.confidence_interval
    assert bootstrap_interval(values) == pytest.approx((interval.low, interval.high), abs=0.1 * values.std() / 18**0.5)


def test_equal_patients_have_no_spread_and_seeds_repeat():
    assert bootstrap_interval(np.full(5, 0.5)) == (0.5, 0.5)
    values = np.random.default_rng(2).random(9)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_nineteen_of_twenty_intervals_hold_the_truth():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        low, high = bootstrap_interval(rng.normal(0, 1, 50), draws=400)
        held += low <= 0 <= high
    assert 0.90 < held / 400 < 0.98
