"""The findings of a comparison, where the right answer is known."""

import numpy as np
import pytest

from medgenesis.statistics.paired import difference, holm
from medgenesis.transfer.protocols.comparison_table import by_labelled_set, by_patient, findings, sentences, table

STARTS = ("ours", "scratch")


def levels(known, draws=6, patients=9, seed=0):
    """Dice (draws, patients) round a level for each (labels, steps, start), with the same noise of draw and patient."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.02, (draws, 1)) + rng.normal(0, 0.02, (1, patients))
    return {key: level + noise + rng.normal(0, 0.003, (draws, patients)) for key, level in known.items()}


def test_patients_weigh_alike_whatever_they_have_of_records_and_classes():
    run = np.array([[0.2, np.nan], [0.4, 0.6], [0.8, 1.0], [np.nan, np.nan]])
    found = by_patient([run, run / 2], ["a", "a", "b", "c"])
    assert found == pytest.approx(np.array([[0.4, 0.9], [0.2, 0.45]]))  # c has none of the classes


def test_what_is_there_is_said_and_what_it_saves():
    known = {
        (1, 50, "ours"): 0.70, (1, 50, "scratch"): 0.60, (1, 200, "ours"): 0.81, (1, 200, "scratch"): 0.69,
        (3, 50, "ours"): 0.66, (3, 50, "scratch"): 0.69, (3, 200, "ours"): 0.80, (3, 200, "scratch"): 0.80,
    }  # fmt: skip
    dice = levels(known)
    trivial = {1: difference(np.full((6, 9), 0.1)), 3: difference(np.full((6, 9), 0.7))}
    whole, *said = sentences(dice, findings(dice, STARTS), STARTS, trivial, 9)
    verdicts = "helps in 2 of 4, harms in 1 of 4, no difference shown in 1 of 4"
    assert whole == (
        f"Against scratch, of all numbers of labels and steps: {verdicts}. "
        "Labels saved, in the mean: at least 2 (ours: 1 in place of 3, 50 steps; more than 3 were not tried). "
        "Steps saved, in the mean: at least 150 (ours: 50 in place of 200, 1 labelled patient; "
        "more than 200 were not tried)."
    )
    assert said[0].startswith("ours, 1 labelled patient, 50 steps: helps (+0.1")
    assert said[0].endswith(
        "; in the mean at least as much as scratch with 3 labelled patients"
        "; in the mean at least as much as scratch with 200 steps."
    )
    assert ": helps (" in said[1] and said[1].count("as much as") == 1 and "with 3 labelled patients" in said[1]
    assert said[2].startswith("ours, 3 labelled patients, 50 steps: harms (-0.0")
    assert said[2].endswith("; below the answer that looks at no image (0.700).")
    assert said[3].startswith("ours, 3 labelled patients, 200 steps: no difference shown (")


def test_differences_are_paired_and_corrected_over_all_of_them():
    dice = levels({(1, n, s): 0.5 + 0.01 * (s == "ours") for n in (10, 20, 30) for s in STARTS})
    found = findings(dice, STARTS)
    alone = {one.setting: difference(dice[(*one.setting, "ours")] - dice[(*one.setting, "scratch")]) for one in found}
    assert {one.setting: one.p for one in found} == holm({setting: gain.p for setting, gain in alone.items()})
    assert all(one.gain == alone[one.setting] for one in found)


def test_draws_of_the_same_patients_count_once_by_their_mean():
    dice = np.array([[0.1, 0.3], [0.5, 0.5], [0.3, 0.7], [0.2, 0.2]])
    sets = [frozenset("ab"), frozenset("ac"), frozenset("ba"), frozenset("bc")]
    assert by_labelled_set(dice, sets) == pytest.approx(np.array([[0.2, 0.5], [0.5, 0.5], [0.2, 0.2]]))
    assert np.array_equal(by_labelled_set(dice, "abcd"), dice)


@pytest.mark.parametrize(
    "count, known, said",
    [
        (4, 4, "Give more labelled patients, or --labels 2."),  # of 4 patients 2 are 6 sets
        (3, 4, "Give more labelled patients, or --labels 2."),
        (1, 3, "Give more labelled patients."),  # of 3 there are never five sets
        (2, 4, "More draws give more sets (--seeds)."),
    ],
)
def test_what_gives_five_sets_is_said(count, known, said):
    dice = levels({(count, 9, "ours"): 0.9, (count, 9, "scratch"): 0.1}, draws=3)
    whole, line = sentences(dice, findings(dice, STARTS), STARTS, {}, known)
    assert "no verdict (fewer than five sets of labelled patients) in 1 of 1." in whole
    assert ": no verdict: 3 sets of labelled patients, five are needed (+0.7" in line and line.endswith(f". {said}")


def test_few_draws_give_no_verdict():
    dice = levels({(1, 10, "ours"): 0.9, (1, 10, "scratch"): 0.1}, draws=4)
    (_, ours, scratch) = table(dice, findings(dice, STARTS), STARTS)
    assert ours[-1] == "no verdict: 4 sets of labelled patients, five are needed"
    assert ours[5] == "–" and ours[6] == "4/4"
    assert scratch[4:] == ["–"] * 4


def test_one_test_patient_gives_no_verdict():
    dice = levels({(1, 10, "ours"): 0.9, (1, 10, "scratch"): 0.1}, patients=1)
    (one,) = findings(dice, STARTS)
    assert one.said == "no verdict: 1 test patient, five are needed" and np.isnan(one.gain.low)
    whole, line = sentences(dice, [one], STARTS, {}, 99)
    assert "no verdict (fewer than five test patients) in 1 of 1. Give a list with five or more test patients" in whole
    assert "--seeds" not in whole + line  # there are enough draws


def test_both_lacks_are_named_with_both_remedies():
    dice = levels({(1, 10, "ours"): 0.9, (1, 10, "scratch"): 0.1}, draws=3, patients=4)
    found = findings(dice, STARTS)
    whole, line = sentences(dice, found, STARTS, {}, 9)
    assert "(fewer than five sets of labelled patients and test patients) in 1 of 1. Give a list with five" in whole
    assert "no verdict: 3 sets of labelled patients and 4 test patients, five are needed (" in line
    assert line.endswith(". More draws give more sets (--seeds).")


def test_an_interval_ends_where_dice_does():
    """Of two sets Student's t has one degree of freedom, and is wide."""
    dice = {
        (1, 10, start): np.array([[level] * 5, [level + 0.1] * 5])
        for start, level in zip(STARTS, (0.9, 0.0), strict=True)
    }
    (_, ours, scratch) = table(dice, findings(dice, STARTS), STARTS)
    assert (
        ours[3].startswith("0.950 [0.") and ours[3].endswith(", 1.000]") and scratch[3].startswith("0.050 [0.000, 0.")
    )
    rng = np.random.default_rng(0)
    wide = {(1, 10, "ours"): rng.random((2, 5)) ** 9, (1, 10, "scratch"): 1 - rng.random((2, 5)) ** 9}
    ends = [float(end) for end in table(wide, findings(wide, STARTS), STARTS)[1][4].split("[")[1][:-1].split(", ")]
    assert ends[0] == -1 and ends[1] <= 1


def test_what_is_saved_ends_at_the_first_number_that_is_better():
    known = {(1, 9, "ours"): 0.66, (1, 9, "scratch"): 0.5, (3, 9, "ours"): 0.7, (3, 9, "scratch"): 0.7}
    known |= {(10, 9, "ours"): 0.65, (10, 9, "scratch"): 0.65}
    dice = levels(known)
    (whole, first, *_) = sentences(dice, findings(dice, STARTS), STARTS, {}, 99)
    assert ": helps (" in first and "as much" not in first
    assert whole.endswith(
        "Labels saved, in the mean: none of the numbers tried (scratch is above with the next larger one). "
        "Steps saved, in the mean: cannot be told (where it helps, no more steps were tried)."
    )


@pytest.mark.parametrize(
    "scratch, said",
    [
        ({}, "cannot be told (where it helps, no more labels were tried)"),  # one number was
        ({3: 0.8}, "none of the numbers tried (scratch is above with the next larger one)"),
        ({3: 0.6, 10: 0.8}, "2 (ours: 1 in place of 3, 9 steps)"),
        ({3: 0.6, 10: 0.65}, "at least 9 (ours: 1 in place of 10, 9 steps; more than 10 were not tried)"),
    ],
)
def test_whether_labels_are_saved_follows_from_the_numbers_tried(scratch, said):
    """Ours reaches 0.7 with one label; with more it is as scratch, so that it helps nowhere else."""
    known = {(1, 9, "ours"): 0.7, (1, 9, "scratch"): 0.5}
    known |= {(count, 9, start): level for count, level in scratch.items() for start in STARTS}
    dice = levels(known)
    whole, first, *_ = sentences(dice, findings(dice, STARTS), STARTS, {}, 99)
    assert f"Labels saved, in the mean: {said}. Steps" in whole
    much = " at least as much " if said.startswith("at least") else " as much "
    assert (f"in the mean{much}as scratch with" in first) == ("in place of" in said)


def test_nothing_is_saved_where_nothing_helps():
    dice = levels({(n, 9, start): 0.5 for n in (1, 3) for start in STARTS})
    whole, *_ = sentences(dice, findings(dice, STARTS), STARTS, {}, 99)
    assert whole.endswith("No labels or steps are shown to be saved.")
