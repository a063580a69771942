"""Intervals of means over patients, against a slow bootstrap and known cases."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from medgenesis.statistics.intervals import mean_interval


def slow(values, patients, draws, seed):
    """Patients drawn with replacement, all of their cases taken each time."""
    names = sorted(set(map(str, patients)))
    own = [[v for v, p in zip(values, patients, strict=True) if str(p) == name] for name in names]
    drawn = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    means = [np.mean([v for i in one for v in own[i]]) for one in drawn]
    many, mean = len(names), np.mean(values)
    if max(means) - min(means) < 1e-12:  # of patients that are all alike
        return mean, np.nan, np.nan
    half = stats.t(many - 1).ppf(0.975) * np.std(means) * (many / (many - 1)) ** 0.5
    return mean, mean - half, mean + half


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4)), min_size=2, max_size=12))
@example([(0.0, 0), (0.0, 1)])
@example([(0.3, 0), (0.3, 1), (0.3, 1)])
def test_it_is_the_bootstrap_over_patients(cases):
    values, patients = zip(*cases, strict=True)
    found = mean_interval(values, patients, draws=50, seed=3)
    if len(set(patients)) < 2:
        assert np.isnan(found[1:]).all() and found[0] == pytest.approx(np.mean(values))
    else:
        assert found == pytest.approx(slow(values, patients, 50, 3), nan_ok=True)


@pytest.mark.parametrize("patients", [2, 3, 5, 20])
def test_nineteen_of_twenty_intervals_hold_the_mean_also_of_few_patients(patients):
    """Percentiles of the bootstrap hold it in 50, 75 and 84 % of cases for 2, 3 and 5 patients."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(400):
        _, low, high = mean_interval(np.clip(rng.normal(0.7, 0.05, patients), 0, 1), bounds=(0, 1), draws=500)
        held += low <= 0.7 <= high
    assert 0.9 < held / 400 < 0.99


def test_it_is_that_of_student_where_each_patient_has_one_case():
    values = np.random.default_rng(2).normal(0.6, 0.1, 6)
    known = stats.ttest_1samp(values, 0).confidence_interval()
    assert mean_interval(values, draws=40_000)[1:] == pytest.approx(tuple(known), abs=2e-3)


def test_alike_cases_of_a_patient_are_no_more_evidence():
    values, patients = [0.2, 0.4, 0.6, 0.8], [1, 2, 3, 4]
    assert mean_interval(values, patients) == pytest.approx(mean_interval(np.repeat(values, 3), np.repeat(patients, 3)))
    wide = np.ptp(mean_interval(values, patients)[1:])
    assert np.ptp(mean_interval(np.repeat(values, 3))[1:]) < wide


def test_cases_that_are_all_alike_have_no_interval():
    mean, *ends = mean_interval([0.1] * 4, bounds=(0, 1))
    assert mean == pytest.approx(0.1) and np.isnan(ends).all()
