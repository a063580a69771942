"""The statistics of the evidence programme against loops that anybody can check."""

import itertools

import numpy as np
import pytest

from benchmarks.evidence import statistics


def test_resampled_means_are_those_of_a_loop():
    values = np.random.default_rng(3).normal(size=(5, 7))
    found = statistics.resampled_means(values, np.random.default_rng(1), 40)
    again = np.random.default_rng(1)
    weights = [again.multinomial(size, np.full(size, 1 / size), size=40) for size in values.shape]
    for number, mean in enumerate(found):
        drawn = [np.repeat(np.arange(size), one[number]) for size, one in zip(values.shape, weights, strict=True)]
        assert [len(one) for one in drawn] == list(values.shape)
        assert mean == pytest.approx(np.mean([values[d, p] for d, p in itertools.product(*drawn)]))


def test_variance_of_the_bootstrap_of_draws_alone_is_the_known_one():
    draws = np.random.default_rng(0).normal(size=12)
    means = statistics.resampled_means(draws[:, None], np.random.default_rng(0), 40_000)
    assert means.std() == pytest.approx(draws.std() / np.sqrt(12), rel=0.02)  # of the mean of n drawn with replacement


def test_draws_that_differ_widen_the_interval_that_patients_alone_would_give():
    rng = np.random.default_rng(5)
    values = 0.02 + rng.normal(0, 0.05, (20, 1)) + rng.normal(0, 0.05, (1, 61))
    both = statistics.difference(values)
    alone = statistics.difference(np.repeat(values.mean(axis=0, keepdims=True), 2, axis=0))
    assert both.high - both.low > 1.2 * (alone.high - alone.low)
    assert both.low < both.mean < both.high and both.draws == 20 and both.patients == 61


def test_p_of_no_difference_is_seldom_small():
    rng = np.random.default_rng(7)
    found = [statistics.difference(rng.normal(size=(20, 10)), seed=i, bootstrap=400).p for i in range(100)]
    assert np.mean(np.array(found) < 0.05) < 0.12


def test_holm_as_in_the_textbook():
    corrected = statistics.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
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
        assert {name for name, value in statistics.holm(p).items() if value < 0.05} == rejected


def test_words():
    assert statistics.verdict(0.1, 0.01) == "helps" and statistics.verdict(-0.1, 0.01) == "harms"
    assert statistics.verdict(0.1, 0.05) == statistics.verdict(0.1, float("nan")) == "no difference shown"


def test_arms_are_paired_by_draw_seed_and_patient():
    one = {(draw, draw % 3): {0: draw, 1: 10.0} for draw in range(6)}
    other = {cell: {1: 1.0, 0: 2.0, 5: 3.0} for cell in one if cell != (2, 2)} | {(2, 1): {0: 7.0}}  # of another seed
    first, second = statistics.grids_of(one, other)
    assert first.shape == second.shape == (5, 2)
    assert first[:, 0].tolist() == [0, 1, 3, 4, 5] and second[0].tolist() == [2, 1]
    assert statistics.grids_of(one, {})[0].size == 0


def test_rows_become_means_over_structures():
    rows = [
        {"draw": "3", "seed": "1", "patient": "7", "structure": s, "dice": d} for s, d in (("a", "0.5"), ("b", "1"))
    ]
    rows.append({"draw": "3", "seed": "1", "patient": "8", "structure": "a", "dice": ""})
    assert statistics.scores_of(rows) == {(3, 1): {7: 0.75}}
