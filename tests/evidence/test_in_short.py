"""The first table: what is best on validation, whatever it is on the test patients, and only arms with all draws."""

import pytest
from helpers.evidence_rows import write_rows

from benchmarks.evidence.found import read_found
from benchmarks.evidence.in_short import most_often, short_table
from benchmarks.evidence.rates import Choice

# method -> Dice on validation, on test, draws of 20
ARMS = {
    "scratch": (0.50, 0.50, 20),
    "scratch_levels": (0.55, 0.45, 20),  # best on validation, not on test
    "scratch_probed": (0.40, 0.60, 20),
    "mean_teacher": (0.99, 0.99, 20),  # neither pre-trained nor scratch
    "models_genesis": (0.60, 0.62, 20),
    "region_prompts_probed": (0.70, 0.58, 20),
    "position": (0.80, 0.90, 19),  # not complete
}


def test_the_best_on_validation_are_compared_on_test(tmp_path):
    choices = []
    for method, (validation, test, draws) in ARMS.items():
        choices.append(Choice("hippocampus", method, 1, 50, {1e-3: validation - 0.1, 3e-3: validation}, 3e-3))
        write_rows(tmp_path, method, "finetuned", 1, 50, test, draws=range(draws))
    choices.append(Choice("hippocampus", "models_genesis", 3, 50, {1e-3: 0.95}, 1e-3))  # of more labels
    choices.append(Choice("lungs", "models_genesis", 1, 50, {1e-3: 0.95}, 1e-3))  # of another set
    (row,) = short_table(read_found(tmp_path), choices)[1:]
    assert row[:2] == ["hippocampus", "50"]
    assert row[2] == "region_prompts_probed" and row[4] == "scratch_levels"
    assert float(row[3].split()[0]) - float(row[5].split()[0]) == pytest.approx(0.13, abs=1e-3)
    assert row[6].startswith("+0.080 ") and row[7].startswith("+0.130 ")


def test_a_set_without_both_is_left_out(tmp_path):
    write_rows(tmp_path, "scratch", "finetuned", 1, 50, 0.5, draws=range(20))
    choices = [Choice("hippocampus", "scratch", 1, 50, {1e-3: 0.5}, 1e-3)]
    assert len(short_table(read_found(tmp_path), choices)) == 1


@pytest.mark.parametrize(
    ("position", "region_prompts", "said"),
    [
        (0.8, 0.7, "best on validation, at 50 and 200 steps, on 1 of 1 sets: `position` (hippocampus)."),
        (0.8, 0.99, "No pretext was best on validation at 50 and 200 steps, on any of 1 sets"),
    ],
)
def test_the_pretext_that_is_best_on_most_sets(tmp_path, position, region_prompts, said):
    """Better at 200 steps alone is not best; a set on which one pretext alone has run does not count."""
    choices = []
    for steps in (50, 200):
        dice = {"scratch": 0.5, "position_levels": position, "region_prompts": region_prompts if steps == 200 else 0.1}
        for method, validation in dice.items():
            choices.append(Choice("hippocampus", method, 1, steps, {1e-3: validation}, 1e-3))
            write_rows(tmp_path, method, "finetuned", 1, steps, 0.5, draws=range(20))
        for method in ("scratch", "transvw"):
            choices.append(Choice("mouse", method, 1, steps, {1e-3: 0.9}, 1e-3))
            write_rows(tmp_path, method, "finetuned", 1, steps, 0.5, draws=range(10), dataset="mouse")
    every = read_found(tmp_path)
    assert said in most_often(short_table(every, choices), every)
