"""The page of a run, from tables that a run has recorded."""

import re

import numpy as np
import pytest
from PIL import Image

from medgenesis.report import write_run_report
from medgenesis.report.run_report import CASE_COLUMNS, mean_dice
from medgenesis.storage.tables import read_table, write_table

CASES = [
    [1, 1, 0.9, 0.9, 2.0, 0.5, "mm", 10.0, 11.0],
    [1, 2, 0.7, 0.7, 4.0, 1.5, "mm", 20.0, 21.0],
    [2, 1, 0.1, 0.1, 50.0, 20.0, "mm", 1.0, 12.0],
    [2, 2, None, None, None, None, "mm", 0.0, 0.0],
    [10, 1, 0.5, 0.5, 9.0, 3.0, "mm", 5.0, 13.0],
    [10, 2, 0.5, 0.5, 8.0, 2.0, "mm", 5.0, 14.0],
]


def cells(page):
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]


def test_the_worst_case_comes_first_with_its_drawing(tmp_path):
    write_table(tmp_path / "cases.csv", CASES, CASE_COLUMNS[:-1])
    for case in (1, 2):
        (tmp_path / "cases").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "cases" / f"case_{case:04d}.png")
    page = write_run_report(tmp_path).read_text()
    captions = re.findall(r"<figcaption>case (\d+): mean Dice ([\d.]+)", page)
    assert captions == [("2", "0.100"), ("1", "0.800")]
    rows = cells(page)
    assert [row[0] for row in rows if len(row) == 8 and row[0].isdigit()][2:] == ["2", "2", "10", "10", "1", "1"]
    by_class = {row[0]: row[1:] for row in rows if len(row) == 8 and row[0] in "12"}
    assert ["1", "3", "0.500", "0.500", "20.3", "7.8", "5.3", "12.0"] in rows and by_class  # means of the three cases
    assert ["2", "3", "0.600", "0.600", "6.0", "1.8", "8.3", "11.7"] in rows  # the case without class 2 has no Dice
    assert ["2", "2", "–", "–", "–", "–", "0.0", "0.0"] in rows


def test_the_mean_dice_of_a_case_passes_over_absent_classes(tmp_path):
    write_table(tmp_path / "cases.csv", CASES, CASE_COLUMNS[:-1])
    assert mean_dice(read_table(tmp_path / "cases.csv")) == pytest.approx({"1": 0.8, "2": 0.1, "10": 0.5})


def test_curves_have_a_legend_for_training_and_validation(tmp_path):
    rows = [[1, 8, 2.0, None, 0.001, 3.0], [2, 16, 1.0, 0.6, 0.001, 3.0]]
    columns = ["epoch", "iteration", "loss", "val_mean_dice", "learning_rate", "seconds"]
    write_table(tmp_path / "metrics.csv", rows, columns)
    page = write_run_report(tmp_path, "My <run>").read_text()
    assert page.count('<svg class="chart"') == 3 and "My &lt;run&gt;" in page and "2 epochs" in page
    assert re.findall(r'aria-label="([\w ]+) by epoch. Lines over epoch: (\w+)', page) == [
        ("loss", "training"),
        ("mean dice", "validation"),
        ("learning rate", "training"),
    ]


def test_a_classification_says_its_auc_and_its_worst_answers(tmp_path):
    write_table(tmp_path / "auc.csv", [[1, 9, 4, 0.75, 0.5, 0.9]], ["class", "records", "with", "auc", "low", "high"])
    rows = [[1, "Meier.png", 0, 0.9, 0.1, 0.1], [2, "b.png", 1, 0.8, 0.2, 0.8], [3, "c.png", "", 0.5, 0.5, None]]
    write_table(tmp_path / "predictions.csv", rows, ["record", "image", "truth", "p_0", "p_1", "error"])
    page = write_run_report(tmp_path).read_text()
    assert "0.750 [0.500, 0.900]" in page and "Meier" not in page
    assert [row[0] for row in cells(page) if len(row) == 4 and row[0] in ("1", "2", "3")][1:] == ["2", "1"]


def test_a_folder_without_records_has_no_page(tmp_path):
    assert write_run_report(tmp_path) is None and not list(tmp_path.iterdir())
