"""Measures, intervals and paired tests against scikit-learn and slow loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from medgenesis.statistics import auc_interval
from medgenesis.statistics.scores import Drawn, Judge, drawn_weights, intervals, paired_difference
from medgenesis.transfer.comparisons import _mean_dice


@given(st.integers(0, 10**6), st.integers(2, 4))
@settings(max_examples=30, deadline=None)
def test_weights_are_repetitions(seed, classes):
    generator = np.random.default_rng(seed)
    truth = np.r_[np.arange(classes), generator.integers(0, classes, 30)]
    scores = generator.multinomial(20, np.ones(classes) / classes, len(truth)) / 20  # ties, as votes have them
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


def test_the_interval_is_that_of_student_of_patients_drawn_with_replacement():
    generator = np.random.default_rng(1)
    patients, truth = np.repeat(np.arange(10), 3), np.tile([0, 1, 0], 10)
    scores = generator.dirichlet([1, 1], 30)
    figures = intervals(Judge(truth, scores), patients, draws=200, seed=5)
    draws, found = np.random.default_rng(5), []
    for _ in range(200):
        rows = [row for patient in draws.integers(10, size=10) for row in np.flatnonzero(patients == patient)]
        found.append((scores.argmax(1)[rows] == truth[rows]).mean())
    value, half = (scores.argmax(1) == truth).mean(), stats.t(9).ppf(0.975) * np.std(found) * (10 / 9) ** 0.5
    accuracy = figures["accuracy"]
    assert (accuracy["low"], accuracy["high"]) == pytest.approx((value - half, value + half))
    assert tuple(figures["auc"].values()) == pytest.approx(auc_interval(truth, scores[:, 1], patients))
    assert all(weights.sum() == 30 for weights in drawn_weights(patients, 5, 0))


def test_where_all_are_told_right_the_lower_end_is_that_of_clopper_and_pearson():
    truth = np.tile([0, 1], 3)
    for right, end in ((True, "low"), (False, "high")):
        found = intervals(Judge(truth, np.eye(2)[truth if right else 1 - truth]), np.arange(6), draws=50)["accuracy"]
        known = stats.binomtest(6 * right, 6).proportion_ci(method="exact")
        assert (found["low"], found["high"]) == pytest.approx((known.low, known.high))
        assert 0 < found[end] < 1


@pytest.mark.parametrize("patients", [2, 3, 5, 10])
def test_p_of_no_difference_is_seldom_small(patients):
    """The share of draws on the other side of 0 was below 0.05 in 48, 26, 14 and 8 % of such cases."""
    rng, found = np.random.default_rng(1), []
    for _ in range(400):
        drawn = [Drawn.of(_mean_dice(rng.normal(size=patients)), np.arange(patients), draws=200) for _ in range(2)]
        found.append(paired_difference(*drawn)["dice"]["p"])
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.085


def test_p_is_that_of_the_paired_t_test_of_patients():
    one, other = np.random.default_rng(3).normal([[0.4], [0.0]], 1, (2, 8))
    drawn = [Drawn.of(_mean_dice(values), np.arange(8), draws=40_000) for values in (one, other)]
    found, known = paired_difference(*drawn)["dice"], stats.ttest_rel(one, other)
    low, high = known.confidence_interval()
    assert (found["low"], found["high"], found["p"]) == pytest.approx((low, high, known.pvalue), abs=0.03)


def test_one_patient_has_no_p_and_no_interval():
    drawn = [Drawn.of(_mean_dice(np.array(values)), np.zeros(3)) for values in ([0.9, 0.8, 0.9], [0.1, 0.2, 0.1])]
    found = paired_difference(*drawn)["dice"]
    assert found["value"] > 0.7 and np.isnan([found[name] for name in ("low", "high", "p")]).all()
    figures = intervals(Judge(np.array([0, 1]), np.eye(2)), np.zeros(2))
    assert np.isnan([figure[end] for figure in figures.values() for end in ("low", "high")]).all()


def test_paired_tests_see_what_is_the_same_and_what_is_not():
    truth = np.tile([0, 1], 50)
    good, bad = np.eye(2)[truth], np.full((100, 2), 0.5)
    drawn = [Drawn.of(Judge(truth, one), np.arange(100), draws=100) for one in (good, bad)]
    same = paired_difference(drawn[0], drawn[0])["accuracy"]
    assert same["value"] == 0 and same["p"] == 1
    better = paired_difference(*drawn)
    assert better["auc"]["value"] == 0.5 and better["auc"]["p"] < 1e-6 and better["accuracy"]["p"] < 1e-6


def test_where_all_patients_differ_alike_p_is_that_of_the_sign_test():
    truth = np.array([0, 1, 0])
    right, wrong = np.eye(2)[truth], 1 - np.eye(2)[truth]
    drawn = [Drawn.of(Judge(truth, one), np.arange(3), draws=50) for one in (right, wrong)]
    found = paired_difference(*drawn)["accuracy"]
    assert found["value"] == 1 and found["p"] == pytest.approx(stats.binomtest(3, 3).pvalue)
    assert np.isnan([found["low"], found["high"]]).all()


def test_where_all_patients_have_the_same_share_between_there_is_no_interval():
    truth = np.tile([0, 1], 3)
    found = intervals(Judge(truth, np.tile([0.9, 0.1], (6, 1))), np.repeat(np.arange(3), 2), draws=50)["accuracy"]
    assert found["value"] == 0.5 and np.isnan([found["low"], found["high"]]).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_auc_ranks_what_rounds_to_1(classes):
    log_odds = np.array([40.0, 45.0, 50.0, 55.0])  # all 1 in double precision
    rest = np.exp(-log_odds)[:, None] / (classes - 1)
    scores = np.hstack([np.repeat(rest, classes - 1, axis=1), np.ones((4, 1))])
    truth = np.array([0, 0, classes - 1, classes - 1])
    judge = Judge(truth, scores)
    assert len(np.unique(scores[:, -1])) == 1 and judge.each[-1][1].argsort().tolist() == [0, 1, 2, 3]
    assert judge()["auc"] == 1


def test_margins_are_ranked_as_they_are():
    truth, margins = np.array([0, 1, 0, 1, 1]), np.array([-3.0, 2.0, 1.0, 0.5, -0.5])
    found = Judge(truth, np.stack([-margins, margins], axis=1), margins=True)()
    assert found["auc"] == pytest.approx(roc_auc_score(truth, margins)) and found["accuracy"] == 0.6


def test_a_draw_without_a_class_is_no_draw_of_what_weighs_all_classes():
    truth, patients = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.arange(8)
    scores = np.random.default_rng(0).dirichlet(np.ones(3), 8)
    judge = Judge(truth, scores)
    for weights in drawn_weights(patients, 50, 0):
        found, rows = judge(weights), np.repeat(np.arange(8), weights)
        whole = set(truth[rows]) == {0, 1, 2}
        assert np.isfinite(found["balanced_accuracy"]) == np.isfinite(found["auc"]) == whole
        if whole:
            assert found["balanced_accuracy"] == pytest.approx(
                balanced_accuracy_score(truth[rows], scores.argmax(1)[rows])
            )
    answers, two = scores.argmax(1), np.minimum(truth, 1)
    recalls = [(answers[two == one] == one).mean() for one in (0, 1)]  # a class without any test record is not counted
    assert Judge(two, scores)()["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_what_weighs_all_classes_has_as_many_patients_as_the_rarest():
    truth, patients = np.array([0] * 6 + [1] * 3), np.array([0, 1, 2, 3, 4, 4, 5, 6, 6])
    scores = np.random.default_rng(0).dirichlet(np.ones(2), 9)
    assert Drawn.of(Judge(truth, scores), patients, draws=5).patients == {
        "accuracy": 7,
        "balanced_accuracy": 2,
        "auc": 2,
    }
    drawn = Drawn.of(Judge(truth, scores), patients, draws=5)
    assert [one["patients"] for one in paired_difference(drawn, drawn).values()] == [7, 2, 2]
    figures = intervals(Judge(truth[:7], scores[:7]), patients[:7], draws=20)
    assert np.isnan(figures["balanced_accuracy"]["low"])
    assert np.isfinite([figures["accuracy"]["low"], figures["auc"]["low"]]).all()


def test_one_class_gives_no_auc():
    assert np.isnan(Judge(np.zeros(4, int), np.full((4, 2), 0.5))()["auc"])
