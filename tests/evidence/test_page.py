"""Tables and page from given rows: the numbers that a slow re-computation gives, and no verdict before its time."""

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from helpers.evidence_rows import write_rows

from benchmarks.evidence import page, readme, tables
from benchmarks.evidence.figures import write_chart
from benchmarks.evidence.found import read_found
from benchmarks.evidence.protocol import arms_of
from medgenesis.errors import DatalistError
from medgenesis.statistics.paired import Difference
from medgenesis.storage import write_table


def test_the_page_of_rows(tmp_path):
    rows, docs = tmp_path / "rows", tmp_path / "docs"
    for steps, gain in ((50, 0.1), (200, 0.02)):
        write_rows(rows, "scratch", "finetuned", 1, steps, 0.5 + steps / 1000)
        write_rows(rows, "models_genesis", "finetuned", 1, steps, 0.5 + steps / 1000 + gain, draws=range(3))
    write_rows(rows, "random", "frozen", 1, 0, 0.3)
    write_rows(rows, "mean_mask", "one_shot", 1, 0, 0.35)
    choices = ("dataset", "method", "readout", "labels", "steps", "value", "draws", "dice", "chosen")
    chosen = [
        ("hippocampus", "scratch", "finetuned", 1, 50, value, 4, dice, dice == "0.41")
        for value, dice in (("1", "0.41"), ("2", "0.40"))
    ]
    write_table(rows / "choices" / "hippocampus-scratch-finetuned-k1-50.csv", chosen, choices)
    text = page.write_page(rows, docs).read_text()
    cells = [line.split(" | ") for line in text.splitlines() if line.startswith("| 50 | ")]
    scratch, genesis = cells
    by_hand = np.mean([0.55 + 0.01 * d - 0.002 * p + 0.1 * s for d in range(3) for p in range(5) for s in range(2)])
    assert scratch[1] == "scratch" and scratch[2].startswith(f"{by_hand:.3f} [")
    assert genesis[1] == "models_genesis" and genesis[3].startswith("+0.100 [+0.100, +0.100]") and genesis[5] == "3/3"
    assert "`models_genesis`, one label, 50 steps: **not yet: 3 of 20 draws**; so far +0.100" in text
    assert "helps" not in text and "| models_genesis | -0.050 " in text  # at 50 steps, from scratch at 200
    assert "| mean_mask | one_shot |" in text and "+0.050 [+0.050, +0.050]" in text and "**1: 0.41**, 2: 0.40" in text
    assert "The primary end point. 22 of " in text and "](evidence/hippocampus-steps.svg)" in text
    ET.parse(docs / "evidence" / "hippocampus-steps.svg")


def test_fewer_labels_against_more(tmp_path):
    write_rows(tmp_path, "scratch", "finetuned", 1, 200, 0.9)  # other steps: of no weight
    for labels, level, draws in ((1, 0.4, 10), (3, 0.5, 10), (5, 0.6, 4)):
        write_rows(tmp_path, "scratch", "finetuned", labels, 400, level, draws=range(draws))
    write_rows(tmp_path, "dense_contrast", "finetuned", 3, 400, 0.58, draws=range(10))
    write_rows(tmp_path, "dense_contrast", "frozen", 1, 0, 0.45, draws=range(20))
    head, *table = tables.fewer_labels_table(read_found(tmp_path)[0])
    assert head == ["labels", "method", "readout", *(f"minus scratch with {n}" for n in (1, 3, 5))]
    cells = {tuple(row[:3]): [cell.split(" ")[0] for cell in row[3:]] for row in table}
    assert cells == {
        ("1", "scratch", "finetuned"): ["–", "-0.100", "-0.200"],
        ("1", "dense_contrast", "frozen"): ["+0.050", "-0.050", "-0.150"],
        ("3", "scratch", "finetuned"): ["–", "–", "-0.100"],
        ("3", "dense_contrast", "finetuned"): ["–", "+0.080", "-0.020"],
    }
    assert {row[5].endswith("(4 of 10 draws)") for row in table} == {True}
    assert not any("draws" in cell for row in table for cell in row[3:5])


def test_a_page_without_rows_says_so(tmp_path):
    assert "No test rows are there yet." in page.write_page(tmp_path / "none", tmp_path).read_text()


@pytest.mark.parametrize(
    "p, mean, said", [(0.01, 0.1, "helps"), (0.01, -0.1, "harms"), (0.2, 0.1, "no difference shown")]
)
def test_words_once_all_is_there(p, mean, said):
    gain = Difference(mean, mean - 0.05, mean + 0.05, p, 20, 61, 20)
    assert tables.in_words(gain, p, "hippocampus") == said
    early = Difference(mean, mean - 0.05, mean + 0.05, p, 19, 61, 19)
    assert tables.in_words(early, p, "hippocampus") == "not yet: 19 of 20 draws"


def test_the_correction_is_over_all_planned_methods_and_both_steps(tmp_path):
    rng = np.random.default_rng(0)
    for method, steps in itertools.product(("scratch", "models_genesis", "transvw"), (50, 200)):
        draws = range(19 if (method, steps) == ("transvw", 50) else 20)  # not complete: of no weight, not left out
        level = 0.5 + 0.02 * rng.random() * (method != "scratch")
        write_rows(tmp_path, method, "finetuned", 1, steps, level, draws)
    (found,) = read_found(tmp_path)
    results = tables.against_scratch(found)
    methods = {arm.method for arm in arms_of("hippocampus") if arm.readout == "finetuned"} - {"scratch"}
    complete = [(gain.p, p) for key, (gain, p) in results.items() if key != ("transvw", 50)]
    assert len(results) == 4 and results["transvw", 50][1] == 1 and len(methods) > 4
    least, corrected = min(complete)
    assert corrected == pytest.approx(min(1, 2 * len(methods) * least))


def test_a_column_is_of_the_draws_that_all_have(tmp_path):
    write_rows(tmp_path, "scratch", "finetuned", 1, 50, 0.5, draws=range(4))
    write_rows(tmp_path, "models_genesis", "finetuned", 1, 50, 0.5, draws=range(1, 3))
    (found,) = read_found(tmp_path)
    heads, *rows = tables.steps_table(found)
    column = next(i for i, head in enumerate(heads) if head == "50 steps (2 of 20 draws)")
    by_hand = np.mean([0.5 + 0.01 * d - 0.002 * p + 0.1 * s for d in (1, 2) for p in range(5) for s in range(2)])
    assert {row[column].split(" ")[0] for row in rows} == {f"{by_hand:.3f}"}


def test_an_arm_that_is_at_work_leaves_the_others_their_draws(tmp_path):
    for method, draws in (("scratch", 20), ("models_genesis", 20), ("transvw", 3)):
        write_rows(tmp_path, method, "finetuned", 1, 50, 0.5, draws=range(draws))
    (found,) = read_found(tmp_path)
    cells = {row[1]: row[2] for row in tables.scratch_table(found) if row[0] == "50"}
    by_hand = np.mean([0.5 + 0.01 * d - 0.002 * p + 0.1 * s for d in range(20) for p in range(5) for s in range(2)])
    assert cells["scratch"].startswith(f"{by_hand:.3f} [") and cells["transvw"] == "3 of 20 draws"
    heads, *rows = tables.steps_table(found)
    column = next(i for i, head in enumerate(heads) if head == "50 steps (20 of 20 draws)")
    assert {row[0]: row[column].split(" ")[0] for row in rows}["models_genesis"] == f"{by_hand:.3f}"
    assert {row[0]: row[column] for row in rows}["transvw"] == "3 of 20 draws"


def test_rows_that_do_not_go_together_are_refused(tmp_path):
    first = write_rows(tmp_path, "scratch", "finetuned", 1, 50, 0.5)
    write_rows(tmp_path, "scratch", "finetuned", 1, 50, 0.5, rate=0.1)
    with pytest.raises(DatalistError, match="there must be one file of each method"):
        read_found(tmp_path)
    first.path.unlink()
    write_rows(tmp_path, "transvw", "finetuned", 1, 50, 0.5, batch=4)
    with pytest.raises(DatalistError, match=r"must agree in batch; found 4 here and 2|must agree in batch; found 2"):
        read_found(tmp_path)


def test_rows_without_their_settings_are_refused(tmp_path):
    write_rows(tmp_path, "scratch", "finetuned", 1, 50, 0.5).about.unlink()
    with pytest.raises(DatalistError, match="the settings of its rows must stand in"):
        read_found(tmp_path)


def test_a_chart_is_a_file_of_its_own(tmp_path):
    curves = {"a <b>": (np.arange(3.0), np.arange(3.0)), "c": (np.arange(3.0), np.ones(3))}
    write_chart(tmp_path / "chart.svg", curves, "steps", "Dice", "two lines")
    root = ET.parse(tmp_path / "chart.svg").getroot()
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a <b>", "c", "steps", "Dice"} <= set(texts) and int(root.get("height")) > 300
    assert "var(" not in (tmp_path / "chart.svg").read_text()


def test_the_readme_says_what_the_rows_say(tmp_path):
    rows = tmp_path / "rows"
    write_rows(rows, "scratch", "finetuned", 1, 50, 0.5)
    write_rows(rows, "models_genesis", "finetuned", 1, 50, 0.6)
    file = tmp_path / "README.md"
    file.write_text(f"before\n\n{readme.BEGIN}\nold\n{readme.END}\n\nafter\n")
    for _ in range(2):
        text = readme.write_readme(rows, file).read_text()
    assert text.startswith("before\n\n") and text.endswith(f"{readme.END}\n\nafter\n") and "old" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("| 50 | models_genesis")]
    assert "+0.100 [+0.100, +0.100]" in line and line.endswith("| not yet: 4 of 20 draws |")
    assert "**validation**" not in text
    for method, level, chosen in (("scratch", 0.5, 0.4), ("models_genesis_probed", 0.7, 0.9)):
        write_rows(rows, method, "finetuned", 1, 50, level, draws=range(20))
        row = {"dataset": "hippocampus", "method": method, "readout": "finetuned", "labels": 1, "steps": 50}
        write_table(
            rows / "choices" / f"hippocampus-{method}-finetuned-k1-50.csv",
            [{**row, "value": 0.001, "dice": chosen, "chosen": True}],
        )
    lines = readme.lines(rows).splitlines()
    (line,) = [line for line in lines if line.startswith("| hippocampus | 50 | models_genesis_probed |")]
    assert any("**validation**" in line for line in lines) and "+0.200 [+0.200, +0.200]" in line
    (tmp_path / "without.md").write_text("no marks")
    with pytest.raises(ValueError, match="must have the lines"):
        readme.write_readme(rows, tmp_path / "without.md")


def test_the_readme_is_of_the_committed_rows():
    text = readme.README.read_text(encoding="utf-8")
    assert text.partition(readme.BEGIN)[2].partition(readme.END)[0].strip() == readme.lines()
