"""Classes and findings of records: refused where training could not use them."""

import json

import pytest

from medgenesis.data import check_classes, check_findings, check_known, judged_findings, read_datalist
from medgenesis.errors import DatalistError


@pytest.mark.parametrize("value", [None, 2, -1, "1", 0.5, [1]])
def test_classes_must_be_numbers_in_range(value):
    records = [{"image": "a.nii", "class": 1}, {"image": "b.nii", "class": value}]
    with pytest.raises(
        DatalistError, match="class: each record must have one from 0 to 1; found 1 of 2 without, the first b.nii"
    ):
        check_classes(records, 2)


def test_an_auc_needs_every_class():
    records = [{"image": "a.nii", "class": 1}, {"image": "b.nii", "class": 0}]
    assert check_classes(records, 2, every=True) is records
    with pytest.raises(DatalistError, match="class: training must have records of two classes at least; found class"):
        check_classes(records[:1], 2)
    with pytest.raises(DatalistError, match="class: validation .*found none of class 0 among 1"):
        check_classes(records[:1], 2, every=True)


@pytest.mark.parametrize("value", [None, 1, [1], [0, 1, 1], [0, 2], [0, True], [0, 0.0], "01"])
def test_findings_must_be_zeros_and_ones(tmp_path, value):
    records = [{"image": "a.nii", "classes": [0, 1]}, {"image": "b.nii", "classes": value}]
    with pytest.raises(
        DatalistError, match="classes: each record must have 2 numbers; found 1 of 2 without, the first b.nii"
    ):
        check_findings(records, 2)
    if value not in ([1], [0, 1, 1]):
        (tmp_path / "d.json").write_text(json.dumps({"training": records}))
        with pytest.raises(DatalistError, match='"classes" must be a list of 0 and 1'):
            read_datalist(tmp_path / "d.json")


def test_an_auc_needs_each_finding_present_and_absent():
    records = [{"image": "a.nii", "classes": [0, 1, 1]}, {"image": "b.nii", "classes": [1, 0, 1]}]
    assert check_findings(records, 3) is records
    assert check_findings([{**one, "classes": one["classes"][:2]} for one in records], 2, every=True)
    with pytest.raises(DatalistError, match="classes: validation .*found finding 2 in 2 of 2"):
        check_findings(records, 3, every=True)


def test_findings_without_an_auc_are_left_out_of_it(caplog):
    records = [{"image": f"{name}.png", "classes": classes} for name, classes in (("a", [0, 1, 1]), ("b", [1, 1, 0]))]
    assert judged_findings(records, 3) == [0, 2]
    assert "findings [1] have no AUC" in caplog.text
    for few in (records[:1], []):
        with pytest.raises(DatalistError, match=f"^classes: .*AUC; found each finding in all {len(few)}"):
            judged_findings(few, 3)


@pytest.mark.parametrize("value", [2, -1, "1", 0.5])
def test_to_classify_a_class_may_be_absent_but_not_wrong(value):
    records = [{"image": "a.nii"}, {"image": "b.nii", "class": 1}, {"image": "c.nii", "class": None}]
    check_known(records, 2)
    with pytest.raises(DatalistError, match="^class: .* from 0 to 1; found 1 of 2 without, the first d.nii"):
        check_known([*records, {"image": "d.nii", "class": value}], 2)


def test_to_classify_findings_may_be_absent_but_not_of_another_number():
    records = [{"image": "a.nii", "class": 9}, {"image": "b.nii", "classes": [0, 1]}]
    check_known(records, 2, multi_label=True)
    with pytest.raises(DatalistError, match="^classes: .* 3 numbers; found 1 of 1 without, the first b.nii"):
        check_known(records, 3, multi_label=True)


def test_classes_and_findings_that_no_record_has_are_said(caplog):
    check_classes([{"image": "a.nii", "class": 0}, {"image": "b.nii", "class": 2}], 3)
    assert [one.message for one in caplog.records] == ["class: of 3 to learn none of 2 records has class 1"]
    caplog.clear()
    check_classes([{"image": f"{value}.nii", "class": value} for value in (0, 1, 2)], 5)  # `num_classes` too high
    assert [one.message for one in caplog.records] == ["class: of 5 to learn none of 3 records has class 3, 4"]
    caplog.clear()
    check_findings([{"image": "a.png", "classes": [0, 1, 0]}, {"image": "b.png", "classes": [0, 1, 1]}], 3)
    assert [one.message for one in caplog.records] == ["classes: of 3 findings none of 2 records has finding 0"]
