"""The summary of the table of cases: what is averaged over what, and where intervals end."""

import pytest

from medgenesis.report.case_summary import summarise_cases


def test_an_interval_ends_where_the_measure_does():
    rows = [
        {"case": case, "class": 1, "name": "", "dice": dice, "hausdorff_95": distance, "unit": "mm"}
        for case, dice, distance in ((1, 0.9, 1.0), (2, 1.0, 90.0))
    ]
    found = {row["measure"]: row for row in summarise_cases(rows, {1: "a", 2: "b"}) if row["class"] == 1}
    assert (found["dice"]["high"], found["hausdorff_95"]["low"]) == (1, 0)
    assert found["dice"]["low"] >= 0 and found["hausdorff_95"]["high"] > 90


def test_a_summary_has_each_class_and_the_mean_of_a_case():
    rows = [
        {"case": 1, "class": 1, "name": "liver", "dice": 0.8, "hausdorff_95": 4.0, "unit": "mm"},
        {"case": 1, "class": 2, "name": "", "dice": 0.4, "hausdorff_95": None, "unit": "mm"},
        {"case": 2, "class": 1, "name": "liver", "dice": 0.6, "hausdorff_95": 2.0, "unit": "mm"},
        {"case": 2, "class": 2, "name": "", "dice": None, "hausdorff_95": None, "unit": "mm"},
    ]
    found = {(row["class"], row["measure"]): row for row in summarise_cases(rows, {1: "a", 2: "b"})}
    assert list(found) == [(1, "dice"), (1, "hausdorff_95"), (2, "dice"), ("all", "dice"), ("all", "hausdorff_95")]
    assert found["all", "dice"]["mean"] == pytest.approx((0.6 + 0.6) / 2)
    assert found[1, "dice"]["mean"] == pytest.approx(0.7) and found[1, "dice"]["patients"] == 2
    assert found[2, "dice"]["cases"] == 1 and found[2, "dice"]["low"] is None
    one = summarise_cases(rows, {1: "a", 2: "a"})
    assert {row["low"] for row in one} == {None}, "one patient has no interval"
