"""What is saved: said of what validation chose, over every way of scratch, and only when all draws are there."""

import numpy as np
import pytest
from helpers.evidence_rows import write_rows

from benchmarks.evidence import page, readme
from benchmarks.evidence.found import Found, read_found
from benchmarks.evidence.probing import SCRATCH_WAYS
from benchmarks.evidence.protocol import AGAIN
from benchmarks.evidence.rates import Choice
from benchmarks.evidence.saved import MARGIN, Saved, in_a_sentence, saved_labels, saved_steps

OURS = "dense_contrast_levels"
SCRATCH_AT_200 = dict(zip(SCRATCH_WAYS, (0.50, 0.55, 0.45), strict=True))


def _choices(labels, steps, **validation):
    return [Choice("hippocampus", method, labels, steps, {1e-3: dice}, 1e-3) for method, dice in validation.items()]


def _steps(folder, ours, draws=20):
    for way, dice in SCRATCH_AT_200.items():
        write_rows(folder, way, "finetuned", 1, 200, dice, draws=range(draws if way == "scratch_probed" else 20))
    write_rows(folder, OURS, "finetuned", 1, 50, ours, draws=range(20))
    write_rows(folder, "position", "finetuned", 1, 50, 0.99, draws=range(20))  # best on test, not on validation
    return saved_steps(read_found(folder), _choices(1, 50, **{OURS: 0.8, "position": 0.7}))


@pytest.mark.parametrize(("ours", "shown"), [(0.56, True), (0.54, False), (0.40, False)])
def test_steps_are_saved_over_the_strongest_scratch(tmp_path, ours, shown):
    (one,) = _steps(tmp_path, ours)
    assert (one.dataset, one.method, one.what, one.shown) == ("hippocampus", OURS, "50 steps against 200", shown)
    expected = [ours - dice for dice in SCRATCH_AT_200.values()]
    assert [gain.mean for gain in one.gains.values()] == pytest.approx(expected, abs=1e-3)
    assert ("**saved**" if shown else "**not shown**") in one.line()


def test_nothing_is_said_before_every_scratch_is_whole(tmp_path):
    assert _steps(tmp_path, 0.9, draws=19) == []


def test_what_was_asked_again_is_compared_in_its_own_draws(tmp_path):
    for way, dice in SCRATCH_AT_200.items():
        write_rows(tmp_path, way, "finetuned", 1, 200, dice, dataset="prostate", draws=range(AGAIN, AGAIN + 14))
    write_rows(tmp_path, OURS, "finetuned", 1, 50, 0.6, dataset="prostate", draws=range(AGAIN, AGAIN + 14))
    (one,) = saved_steps(read_found(tmp_path), [])
    assert one.shown and one.what == "other draws, 50 steps against 200" and one.gains["scratch"].draws == 14


def _scores(level, rng):
    return {(draw, draw % 3): {one: level + rng.normal(0, 0.002) for one in range(5)} for draw in range(10)}


@pytest.mark.parametrize(("loses", "shown"), [(MARGIN / 2, True), (2 * MARGIN, False)])
def test_labels_are_saved_where_little_is_lost(loses, shown):
    """Each number against the next that is twice as large: 1 against 2, 2 against 5, 3 and 5 against 10."""
    rng, scores = np.random.default_rng(0), {}
    for labels in (1, 2, 3, 5, 10):
        scores["scratch", "finetuned", labels, 400] = _scores(0.5 + labels / 100, rng)
        scores["dense_contrast", "finetuned", labels, 400] = _scores(0.9 * (labels == 2), rng)
    scores["position", "finetuned", 5, 400] = _scores(0.6 - loses, rng)
    choices = _choices(1, 200, dense_contrast=0.5) + _choices(3, 400, dense_contrast=0.6, position=0.7)
    found = {one.what: (one.method, one.shown) for one in saved_labels([Found("hippocampus", scores)], choices)}
    assert found == {
        "1 label against 2": ("dense_contrast", False),
        "2 labels against 5": ("dense_contrast", True),
        "3 labels against 10": ("dense_contrast", False),
        "5 labels against 10": ("position", shown),
    }


def test_the_page_and_the_readme_say_it(tmp_path):
    rows = tmp_path / "rows"
    _steps(rows, 0.6)
    (rows / "choices").mkdir()
    head = "dataset,method,readout,labels,steps,value,dice,chosen\n"
    line = f"hippocampus,{OURS},finetuned,1,50,0.001,0.8,True\n"
    (rows / "choices" / f"hippocampus-{OURS}-finetuned-k1-50.csv").write_text(head + line)
    (one,) = saved_steps(read_found(rows), _choices(1, 50, **{OURS: 0.8}))
    assert one.line() in page.write_page(rows, tmp_path / "docs").read_text()
    assert "is shown (not corrected) on 1 of 1 set (hippocampus) for steps" in readme.lines(rows)


def test_the_sentence_counts_sets():
    steps = [Saved(name, OURS, "", {}, shown) for name, shown in (("a", True), ("b", False), ("c", False), ("c", True))]
    said = in_a_sentence(steps, [Saved("a", OURS, "", {}, False)])
    assert "on 1 of 3 sets (a) and in part on 1 (c) for steps" in said and "; on 0 of 1 set for labels" in said
