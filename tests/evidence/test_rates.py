"""Learning rates over sets: what one rate for all loses, against a slow loop, and what is said of the default."""

import numpy as np
import pytest

from benchmarks.evidence import page, rates
from benchmarks.evidence.programme import CHOICES
from benchmarks.evidence.protocol import RATES
from medgenesis.storage import write_table

SETS = ("hippocampus", "lungs", "prostate")


@pytest.fixture
def folder(tmp_path):
    """Dice that are drawn, of three sets; of 800 steps the largest rate was not tried; a penalty is no rate."""
    rng = np.random.default_rng(0)
    for dataset in SETS:
        for method, steps in (("scratch", 50), ("scratch", 800), ("position", 50), ("position", 200)):
            tried = RATES[:2] if steps == 800 else RATES
            dice = rng.random(len(tried)).round(4)
            rows = [
                (dataset, method, "finetuned", 1, steps, f"{rate:g}", 4, f"{one:.4f}", one == dice.max())
                for rate, one in zip(tried, dice, strict=True)
            ]
            write_table(tmp_path / "choices" / f"{dataset}-{method}-finetuned-k1-{steps}.csv", rows, CHOICES)
    rows = [("lungs", "random", "frozen", 1, 0, "0.1", 4, "0.3", True)]
    write_table(tmp_path / "choices" / "lungs-random-frozen-k1-0.csv", rows, CHOICES)
    return tmp_path / "choices"


def test_losses_are_those_of_a_slow_loop(folder):
    choices = rates.read_choices(folder)
    assert len(choices) == 12 and [one.dataset for one in choices] == sorted(SETS * 4)
    table = {(row[0], float(row[1])): row[2:] for row in rates.lost_table(choices)[1:]}
    for start in ("pre-trained", "scratch"):
        for rate in RATES:
            means, every, best = [], [], 0
            for dataset in SETS:
                own = []
                for one in choices:
                    if one.dataset == dataset and (one.method == "scratch") == (start == "scratch"):
                        best += one.dice.get(rate, -1) == max(one.dice.values())
                        if rate in one.dice:
                            own.append(max(one.dice.values()) - one.dice[rate])
                means.append(sum(own) / len(own))
                every += own
            found = table[start, rate]
            assert found[0] == f"{best} of 6"
            assert [float(cell) for cell in found[1:]] == pytest.approx([np.mean(means), max(every)], abs=6e-4)


def test_the_best_stands_in_bold_and_what_was_not_tried_is_a_dash(folder):
    for row, one in zip(rates.rates_table(rates.read_choices(folder))[1:], rates.read_choices(folder), strict=True):
        assert row[:4] == [one.dataset, one.method, "1", str(one.steps)]
        (bold,) = [rate for rate, cell in zip(RATES, row[4:], strict=True) if cell.startswith("**")]
        assert one.dice[bold] == max(one.dice.values())
        assert (row[-1] == "–") == (one.steps == 800)


def test_the_chosen_rate_is_that_of_the_file(folder):
    """Of two that are equal to four decimals the programme knows which was better."""
    rows = [("lungs", "caid", "finetuned", 1, 50, f"{rate:g}", 4, "0.5000", rate == RATES[1]) for rate in RATES]
    write_table(folder / "lungs-caid-finetuned-k1-50.csv", rows, CHOICES)
    place, one = next((i, one) for i, one in enumerate(rates.read_choices(folder)) if one.method == "caid")
    assert one.chosen == RATES[1] and set(one.lost.values()) == {0}
    row = rates.rates_table(rates.read_choices(folder))[1 + place]
    assert [cell.startswith("**") for cell in row[4:]] == [rate == RATES[1] for rate in RATES]


def test_what_is_said_of_the_default(folder):
    choices = rates.read_choices(folder)
    for default in (*RATES, 0.5):
        for line in rates.what_follows(choices, default):
            start = line.partition(":")[0]
            losses = rates._losses(rates._by_start(choices)[start])
            best = min(losses, key=lambda rate: losses[rate][0])
            assert f"the rate {best:g} loses least" in line
            assert ("it is the default" in line) == (default == best)
            assert (f"give `--learning_rate {best:g}`" in line) == (default != best and default in RATES)
            assert ("was not tried" in line) == (default == 0.5)
    two = [one for one in choices if one.dataset != "lungs"]
    for line in rates.what_follows(two, 0.001):
        assert "2 of the 3 sets" in line and "nothing follows yet for the default of the bundles, 0.001" in line


def test_heads_are_told_apart(folder):
    for method in ("scratch_levels", "position_levels", "scratch_probed", "position_probed"):
        rows = [("lungs", method, "finetuned", 1, 50, f"{rate:g}", 4, "0.9", rate == 1e-3) for rate in RATES]
        write_table(folder / f"lungs-{method}-finetuned-k1-50.csv", rows, CHOICES)
    groups = rates._by_start(rates.read_choices(folder))
    methods = {start: {one.method for one in some} for start, some in groups.items()}
    assert methods == {
        "pre-trained": {"position"},
        "scratch": {"scratch"},
        "pre-trained, head on all levels at random": {"position_levels"},
        "scratch, head on all levels at random": {"scratch_levels"},
        "pre-trained, few_labels": {"position_probed"},
        "scratch, few_labels": {"scratch_probed"},
    }


def test_the_page_has_them(folder, tmp_path):
    text = page.write_page(tmp_path, tmp_path / "docs").read_text()
    assert "## Learning rates of fine-tuning, over the sets" in text and "over 3 sets and 50 to 200 steps" in text
    assert text.count("\n| hippocampus | ") == 4 and rates.default_rate() == 0.001
