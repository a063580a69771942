"""The page of a comparison, from what the comparison and its runs have recorded."""

import re

import numpy as np
from PIL import Image

from medgenesis.report.run_report import CASE_COLUMNS
from medgenesis.storage.run_record import record_start
from medgenesis.storage.tables import write_table
from medgenesis.transfer.protocols.comparison_report import write_comparison_report

STARTS, COUNTS, STEPS, SEEDS = ("pre-trained", "scratch"), (2, 4), (10, 20), (0, 1)
SAID, TRIVIAL = ["pre-trained helps <a bit>"], [("labels", "Dice"), ("2", "0.3"), ("4", "0.35")]
PLACES = {n: np.full((2, 3), 0.3) for n in COUNTS}
MEANS = {(n, steps, start): np.full((2, 3), 0.5) for n in COUNTS for steps in STEPS for start in STARTS}
TABLE = [
    ["labelled patients", *STARTS, "pre-trained - scratch"],
    ["2", "0.7", "0.5", "+0.2"],
    ["4", "0.8", "0.6", "+0.2"],
]


def comparison(folder):
    for start, good in zip(STARTS, (0.7, 0.5), strict=True):
        for count in COUNTS:
            for seed in SEEDS:
                dice = [good + count / 20 + 0.01 * seed, 0.1]  # the second case is the worst
                run = folder / f"{start}_k{count}_n20_seed{seed}"
                cases = [[case, 1, value, value, 3.0, 1.0, "mm", 10.0, 20.0] for case, value in enumerate(dice, 1)]
                write_table(run / "cases.csv", cases, CASE_COLUMNS[:-1])
                (run / "cases").mkdir()
                for case in (1, 2):
                    Image.fromarray(np.zeros((3, 3, 3), np.uint8)).save(run / "cases" / f"case_{case:04d}.png")
                metrics = run / "runs" / "finetune" / "metrics.csv"
                write_table(metrics, [[1, 1.0], [2, 0.5]], ["epoch", "loss"])


def test_the_page_has_curves_classes_and_the_worst_case_first(tmp_path):
    comparison(tmp_path)
    record_start(tmp_path, {"asked": {"iterations": 400}})
    page = write_comparison_report(tmp_path, SAID, [TABLE, TRIVIAL], "note", MEANS, PLACES, SEEDS).read_text()
    assert (
        page.count('<svg class="chart"') == 4 and page.count("</svg>pre-trained</li>") == 4
    )  # labels, steps of 2 and of 4, loss
    assert page.count("</svg>no image</li>") == 1 and "frozen" not in page
    assert page.index("helps &lt;a bit&gt;") < page.index("<table") and "0.35" in page
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    dice = {(row[1], row[2]): row[3:] for row in cells if len(row) == 9 and row[0] == "1"}
    assert dice["2", "pre-trained"] == [*[f"{(0.8 + 0.1 + 0.81 + 0.1) / 4:.3f}"] * 2, "3.0", "1.0", "10.0", "20.0"]
    assert dice["4", "scratch"][0] == f"{(0.7 + 0.1 + 0.71 + 0.1) / 4:.3f}" and len(dice) == 4
    assert re.findall(r"<figcaption>case (\d)", page) == ["2", "1", "2", "1"]
    assert "pre-trained, 4 labelled patients, 20 steps, seed 0" in page
    assert "What made this run" in page and "iterations: 400" in page


def test_what_runs_have_not_recorded_is_left_out(tmp_path):
    means = {(2, 20, start): np.full((1, 1), 0.5) for start in STARTS}
    page = write_comparison_report(tmp_path, SAID, [TABLE, TRIVIAL], "note", means, {}, (0,)).read_text()
    assert page.count('<svg class="chart"') == 1 and "By class" not in page


def test_frozen_features_are_a_line_over_labels_and_no_number_of_steps(tmp_path):
    frozen = {(n, 0, start): np.full((2, 3), 0.4) for n in COUNTS for start in STARTS}
    read = [["labels", "start", "Dice, frozen"], ["2", "pre-trained", "0.4"]]
    page = write_comparison_report(
        tmp_path, SAID, [TABLE, read, TRIVIAL], "note", {**frozen, **MEANS}, PLACES, SEEDS
    ).read_text()
    assert page.count('<svg class="chart"') == 3 and page.count("</svg>pre-trained, frozen</li>") == 1
    assert "of which nothing is learnt" in page
