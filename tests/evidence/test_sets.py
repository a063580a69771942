"""Splits and draws: no patient on two sides, the same patients for every arm, other ones to choose rates on."""

import dataclasses

import pytest

from benchmarks.evidence import sets
from benchmarks.evidence.sets import preparing
from medgenesis.errors import DatalistError


def patients_of(study, labels, draw):
    return [case.patient for case in study.labelled(labels, draw)]


def test_draws(study):
    firsts = [patients_of(study, 1, draw)[0] for draw in range(6)]
    assert sorted(firsts) == list(range(6))  # as many draws begin with as many patients
    for draw in range(6):
        three = patients_of(study, 3, draw)
        assert three[:2] == patients_of(study, 2, draw) and three[:1] == firsts[draw : draw + 1]
        assert len(set(three)) == 3
    validation = [patients_of(study, 1, sets.validation_draw(number))[0] for number in range(6)]
    assert sorted(validation) == list(range(6)) and validation != firsts
    with pytest.raises(DatalistError, match="labels: must be at most the 6 training patients of balls; found 7"):
        study.labelled(7, 0)


def test_all_images_of_a_patient_are_labelled_together(study):
    twice = [*study.cases["training"], dataclasses.replace(study.cases["training"][0])]
    study = dataclasses.replace(study, cases={**study.cases, "training": twice})
    draw = next(draw for draw in range(6) if patients_of(study, 1, draw)[0] == 0)
    assert patients_of(study, 1, draw) == [0, 0] and len(study.labelled(2, draw)) == 3


@pytest.mark.parametrize("section, other", [("training", "test"), ("validation", "test"), ("training", "validation")])
def test_a_patient_in_two_sections_is_refused(study, monkeypatch, tmp_path, section, other):
    cases = {**study.cases, section: [*study.cases[section], study.cases[other][0]]}
    wrong = dataclasses.replace(study, cases=cases, unlabelled=study.unlabelled)
    monkeypatch.setattr(sets, "registry", lambda: {"balls": lambda work, size: wrong})
    with pytest.raises(DatalistError, match=f"balls: .* found 1 in both {section} and {other}"):
        sets.read_set("balls", tmp_path)


def test_a_test_patient_among_the_unlabelled_is_refused(study, monkeypatch, tmp_path):
    wrong = dataclasses.replace(study, unlabelled=[*study.unlabelled, *study.cases["test"]])
    monkeypatch.setattr(sets, "registry", lambda: {"balls": lambda work, size: wrong, "good": lambda work, size: study})
    with pytest.raises(DatalistError, match="found 3 in both pre-training and test"):
        sets.read_set("balls", tmp_path)
    assert sets.read_set("good", tmp_path) == study
    with pytest.raises(ValueError, match="set: must be one of balls, good; found 'other'"):
        sets.read_set("other", tmp_path)


def test_prepared_cases_are_read_once(study, tmp_path):
    read = []
    made_of = {"source": "computed"}
    for _ in range(2):
        cases = preparing.kept_cases(tmp_path, made_of, lambda: read.append(1) or study.cases)
    assert read == [1] and cases.keys() == study.cases.keys()
    one, other = cases["test"][1], study.cases["test"][1]
    assert one.patient == other.patient and one.sides == other.sides
    assert one.image.equal(other.image) and one.label.equal(other.label)
    preparing.kept_cases(tmp_path, {"source": "another"}, lambda: read.append(2) or study.cases)
    assert read == [1, 2]


@pytest.mark.parametrize("name", list(sets.registry()))
def test_a_collection_that_is_not_there_is_named(name, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDGENESIS_DATA", str(tmp_path))
    with pytest.raises(DatalistError, match=rf"{tmp_path}/\w+: must be the folder of the collection; found none"):
        sets.read_set(name, tmp_path / "work")
