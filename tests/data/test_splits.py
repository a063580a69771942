"""Splits by patient: shares, stability, keys, and the refusal of patients on both sides."""

import pytest

from medgenesis.data import check_disjoint
from medgenesis.data.splits import draw_few, split_patients
from medgenesis.errors import DatalistError

PATIENTS = [f"p{i:03}" for i in range(50)]


def _count(sections):
    return {name: list(sections.values()).count(name) for name in ("training", "validation", "test")}


@pytest.mark.parametrize(
    "number, fractions, expected",
    [
        (50, (0.8, 0.1, 0.1), (40, 5, 5)),
        (3, (0.8, 0.1, 0.1), (1, 1, 1)),
        (4, (0.8, 0.1, 0.1), (2, 1, 1)),
        (2, (0.5, 0.5, 0), (1, 1, 0)),
        (1, (1, 0, 0), (1, 0, 0)),
        (7, (0.1, 0.45, 0.45), (1, 3, 3)),
        (3, (0.02, 0.49, 0.49), (1, 1, 1)),
    ],
)
def test_shares(number, fractions, expected):
    sections = split_patients(PATIENTS[:number], fractions)
    assert tuple(_count(sections).values()) == expected
    assert set(sections) == set(PATIENTS[:number])


def test_seed_decides_and_order_does_not():
    one = split_patients(PATIENTS, (0.6, 0.2, 0.2), seed=1)
    assert one == split_patients([*reversed(PATIENTS), "p000"], (0.6, 0.2, 0.2), seed=1)
    assert one != split_patients(PATIENTS, (0.6, 0.2, 0.2), seed=2)


@pytest.mark.parametrize("seed", range(5))
def test_one_more_patient_moves_at_most_one_across_each_cut(seed):
    before = split_patients(PATIENTS, (0.6, 0.2, 0.2), seed)
    after = split_patients([*PATIENTS, "new"], (0.6, 0.2, 0.2), seed)
    assert sum(before[key] != after[key] for key in PATIENTS) <= 2


@pytest.mark.parametrize("fractions", [(0.8, 0.1), (0.8, 0.3, 0.1), (1.1, -0.1, 0), (0, 0.5, 0.5)])
def test_no_split(fractions):
    with pytest.raises(DatalistError, match="add up to 1"):
        split_patients(PATIENTS, fractions)


def test_too_few_patients():
    with pytest.raises(DatalistError, match="3 sections.*2 patient.*1 0 0"):
        split_patients(["a", "b", "a"], (0.8, 0.1, 0.1))


def _list(**sections):
    return {
        name: [{"image": f"/{patient}.nii", "patient": patient} for patient in patients]
        for name, patients in sections.items()
    }


def test_disjoint():
    check_disjoint(_list(training="ab", validation="c", test="d"), _list(training="ab", validation="c", test="d"))
    check_disjoint(_list(training="ab", test="x"), _list(training="a", validation="b", test="xd"))


@pytest.mark.parametrize("seen", ["training", "validation"])
def test_a_test_patient_was_trained_on(seen):
    with pytest.raises(DatalistError, match="2 patient.* the pre-training and the test section.*the first c, d"):
        check_disjoint(_list(**{seen: "abcd"}), _list(training="a", test="cd"))


@pytest.mark.parametrize("first, second", [("training", "test"), ("training", "validation"), ("validation", "test")])
def test_a_patient_in_two_sections(first, second):
    with pytest.raises(DatalistError, match=f"{first} and {second}"):
        check_disjoint(_list(**{first: "ab", second: "b"}))
    with pytest.raises(DatalistError, match=f"{first} and {second}"):
        check_disjoint(_list(training="z"), _list(**{first: "ab", second: "b"}))
    numbered = {first: [{"image": "/1.nii", "patient": 7}], second: [{"image": "/2.nii", "patient": 7}]}
    with pytest.raises(DatalistError, match="the first 7"):
        check_disjoint(numbered)


def test_one_file_under_two_keys():
    train, test = {"image": "/data/x/../a.nii", "patient": "p"}, {"image": "/data/a.nii", "patient": "q"}
    with pytest.raises(DatalistError, match="/data/a.nii"):
        check_disjoint({"training": [train], "test": [test]})
    rows = [{"image": "/stack.npy", "cube": row} for row in range(2)]
    check_disjoint({"training": rows[:1], "test": rows[1:]})


def test_unlabeled_may_share_patients_with_training_alone():
    check_disjoint(_list(training="ab", unlabeled="bc", validation="d", test="e"))
    for section in ("validation", "test"):
        with pytest.raises(DatalistError, match=f"unlabeled and {section}"):
            check_disjoint(_list(training="a", unlabeled="bc", **{section: "c"}))
    with pytest.raises(DatalistError, match="pre-training and the test section"):
        check_disjoint(_list(unlabeled="c"), _list(training="a", test="c"))


def test_each_class_is_split_by_itself():
    strata = {key: int(key > "p039") for key in PATIENTS}  # 40 and 10
    sections = split_patients(PATIENTS, (0.6, 0.2, 0.2), strata=strata)
    for stratum, expected in ((0, (24, 8, 8)), (1, (6, 2, 2))):
        assert tuple(_count({k: s for k, s in sections.items() if strata[k] == stratum}).values()) == expected
    with pytest.raises(DatalistError, match="3 sections needs a patient of class 1; found 2"):
        split_patients(PATIENTS[:42], (0.6, 0.2, 0.2), strata=strata)


def test_few_patients_are_drawn_and_nested():
    strata = {key: int(key > "p044") for key in PATIENTS}
    drawn = [draw_few(PATIENTS, count, 3, strata) for count in (2, 4, 10)]
    assert drawn[2][:4] == drawn[1] and drawn[1][:2] == drawn[0]
    assert [sum(strata[key] for key in keys) for keys in drawn] == [1, 2, 5]
    assert draw_few(PATIENTS, 4, 3) != draw_few(PATIENTS, 4, 4)
    with pytest.raises(DatalistError, match="few: must be from 2"):
        draw_few(PATIENTS, 1, 3, strata)
    with pytest.raises(DatalistError, match="few: .*found 51 of 50"):
        draw_few(PATIENTS, 51)


def test_names_that_are_no_utf8_are_split_too():
    assert set(split_patients(["M\udcfcller", "b", "c"], (0.8, 0.1, 0.1))) == {"M\udcfcller", "b", "c"}
