"""Patients chosen by features: who is asked for, without a look at labels, and what the table says of it."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.evidence import tables
from benchmarks.evidence.choosing import BY, CHOSEN, chosen_cases
from benchmarks.evidence.found import Found
from benchmarks.evidence.networks import restorer
from benchmarks.evidence.programme import Programme
from benchmarks.evidence.rows import Cell
from medgenesis.statistics.paired import difference


@pytest.fixture
def told_apart(study):
    """Three patients that are nearly black, two grey ones and a white one; the border is of another value."""
    levels = [0.0, 0.01, 0.02, 0.5, 0.52, 1.0]

    def shown(case, level):
        image = torch.full((1, 16, 16, 16), 9.0)
        image[:, :, 2:14] = level
        return dataclasses.replace(case, image=image, label=None)

    cases = [shown(case, level) for case, level in zip(study.cases["training"], levels, strict=True)]
    return dataclasses.replace(study, cases={**study.cases, "training": cases})


@pytest.mark.parametrize("strategy, expected", [("typical", [2, 4]), ("coverage", [2, 5])])
def test_who_is_asked_for(told_apart, monkeypatch, strategy, expected):
    def mean(network, image, size):
        assert tuple(size) == image.shape[1:] == (16, 12, 16)  # what is padded tells nothing
        level = float(image.mean())
        return np.array([level, 0.1 * (level > 0.4)])  # the second: the middle two would be equally near to all

    monkeypatch.setattr("benchmarks.evidence.choosing.embed_volume", mean)
    assert [case.patient for case in chosen_cases(told_apart, None, strategy, 2)] == expected


def test_a_thin_crop_keeps_as_much_of_its_border_as_the_encoder_needs(told_apart, monkeypatch):
    thin = [dataclasses.replace(case, sides=(16, 6, 16)) for case in told_apart.cases["training"]]
    study = dataclasses.replace(told_apart, cases={**told_apart.cases, "training": thin})
    shapes = set()

    def mean(network, image, size):
        shapes.add(tuple(image.shape[1:]))
        return np.array([float(image.mean()), 0.0])

    with monkeypatch.context() as patch:
        patch.setattr("benchmarks.evidence.choosing.embed_volume", mean)
        chosen_cases(study, None, "typical", 1)
    assert shapes == {(16, 8, 16)}
    assert len(chosen_cases(study, restorer(study).eval(), "typical", 1)) == 1  # the encoder takes it


def test_a_cell_of_chosen_patients_is_one_of_the_same_weights(study, tmp_path, monkeypatch):
    """Labelled are the chosen ones; weights, penalty and settings are those of the drawn ones."""
    programme, seen = Programme(study, tmp_path, tmp_path / "rows"), []
    network = restorer(study)
    monkeypatch.setattr(Programme, "_frozen", lambda self, method, seed: seen.append(method) or network)
    monkeypatch.setattr(
        "benchmarks.evidence.frozen.dice_of_frozen",
        lambda study, network, labelled, cases, **named: seen.append([case.patient for case in labelled]) or np.ones(1),
    )
    method = next(iter(CHOSEN))
    cell = Cell("balls", method, "frozen", 2, 1, 1, 0)
    programme._dice(cell, 0.1, [])
    assert seen[:2] == [BY, BY] and seen[2] == [c.patient for c in chosen_cases(study, network, CHOSEN[method], 2)]
    drawn = dataclasses.replace(cell, method=BY)
    one, other = (programme.settings(each, 0.1) for each in (cell, drawn))
    assert one.pop("method") == method and other.pop("method") == BY and one == other


def test_the_gain_over_draws_is_that_of_the_mean_over_seeds():
    rng = np.random.default_rng(0)
    ours, random = rng.random((3, 5)), rng.random((4, 5))
    scores = {
        ("models_genesis_typical", "frozen", 1, 0): {(n, n): dict(enumerate(row)) for n, row in enumerate(ours)},
        (BY, "frozen", 1, 0): {(n, n % 3): dict(enumerate(row)) for n, row in enumerate(random)},
    }
    found = Found("hippocampus", scores)
    gain = found.over_draws(*scores)
    slow = [[np.mean([ours[s][p] for s in range(3)]) - random[d][p] for p in range(5)] for d in range(4)]
    assert gain == difference(np.array(slow)) and gain.mean == pytest.approx(ours.mean() - random.mean())
    assert gain.won == sum(ours.mean() > random[d].mean() for d in range(4))
    heads, row = tables.choosing_table(found)
    assert row[:5] == ["typical", "1", "frozen", tables.ABSENT, f"{ours.mean():.3f}"]
    assert row[-1] == f"{gain.won} of 4 (20 planned)" and len(row) == len(heads)
    assert found.methods("frozen") == [BY] and found.over_draws(("none", "frozen", 1, 0), (BY, "frozen", 1, 0)) is None
