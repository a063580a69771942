"""Fine-tuning that begins with the frozen readout: it begins there, all of it is learnt, and all scratches count."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.evidence_rows import write_rows

from benchmarks.evidence import finetuning, frozen, level_tables, page, pretexts, tables
from benchmarks.evidence.found import read_found
from benchmarks.evidence.probing import LEVELS, ON_ALL_LEVELS, SCRATCH_WAYS
from benchmarks.evidence.programme import Programme
from benchmarks.evidence.protocol import PLANS, arms_of, level_arms_of
from benchmarks.evidence.rows import Cell
from medgenesis.statistics.paired import Difference


def test_it_begins_with_the_frozen_answer_and_learns_all_of_it(study, monkeypatch):
    monkeypatch.setattr(frozen, "VOXELS", 500)
    monkeypatch.setattr(finetuning, "NORM_BATCHES", 1)
    labelled, tested = study.labelled(1, 0), study.cases["test"]
    network = frozen.frozen_network(study, None, 0)
    expected = frozen.dice_of_frozen(study, network, labelled, tested, penalty=0.01, seed=3)

    def begun():
        return frozen.fitted(study, frozen.frozen_network(study, None, 0), labelled, penalty=0.01, seed=3)

    before, body = begun().state_dict(), begun()
    still = finetuning.FinerLogits(begun().eval(), 2)
    again = frozen.dice_of(still, tested, 2)
    np.testing.assert_array_equal(again, expected)
    finetuning.fine_tuned(study, None, labelled, steps=2, rate=1e-3, seed=5, body=body)
    changed = {key for key, value in body.state_dict().items() if not value.equal(before[key])}
    assert {key for key in before if key.startswith("head.convs.")} <= changed
    assert any(key.startswith("encoder.") for key in changed)


def test_each_cell_begins_with_the_readout_of_its_own_weights(study, tmp_path, monkeypatch):
    short = dataclasses.replace(pretexts.PRETEXTS["models_genesis"], steps=1, batch=2)
    monkeypatch.setitem(pretexts.PRETEXTS, "models_genesis", short)
    monkeypatch.setattr(frozen, "VOXELS", 500)
    made, seen = Programme(study, tmp_path, tmp_path / "rows"), {}
    values = {"frozen": 0.01, "finetuned": 1e-3}
    monkeypatch.setattr(Programme, "value", lambda self, arm, labels, steps: values[arm.readout])

    def begun(*args, body, seed, **_):
        seen.update(body={key: value.clone() for key, value in body.state_dict().items()}, seed=seed)
        next(iter(body.parameters())).data.zero_()  # as a training changes it
        return np.ones((3, 2))

    monkeypatch.setattr(finetuning, "dice_after_finetuning", begun)
    for method, weights in (("models_genesis_probed", made._weights("models_genesis", 1)), ("scratch_probed", None)):
        cell = Cell("balls", method, "finetuned", 1, 4, 1, 2)
        for _ in range(2):  # the second time as the first: the frozen network is left as it was
            made._dice(cell, 1e-3, study.cases["test"])
            network = frozen.frozen_network(study, weights, 1)
            expected = frozen.fitted(study, network, study.labelled(1, 4), penalty=0.01, seed=1004).state_dict()
            assert seen["seed"] == 1004 and seen["body"].keys() == expected.keys()
            for key, value in expected.items():
                torch.testing.assert_close(seen["body"][key], value, rtol=0, atol=0)
        settings = made.settings(cell, 1e-3)
        assert settings["probe"] == {"penalty": 0.01, "voxels": 500} and ("pretext" in settings) == (
            weights is not None
        )


def test_a_head_on_all_levels_begins_with_the_same_numbers_whatever_the_weights(study, tmp_path, monkeypatch):
    short = dataclasses.replace(pretexts.PRETEXTS["models_genesis"], steps=1, batch=2)
    monkeypatch.setitem(pretexts.PRETEXTS, "models_genesis", short)
    made, begun = Programme(study, tmp_path, tmp_path / "rows"), []

    def train(method, *_, **__):
        begun.append({key: value.clone() for key, value in method.network.network.state_dict().items()})

    monkeypatch.setattr(finetuning, "train", train)
    for method in ("scratch_levels", "models_genesis_levels"):
        cell = Cell("balls", method, "finetuned", 1, 4, 1, 2)
        made._dice(cell, 1e-3, study.cases["test"])
        assert made.settings(cell, 1e-3)["head_levels"] == "all"
    untrained, pretrained = begun
    weights = made._weights("models_genesis", 1)
    for key, value in pretrained.items():
        head = key.startswith("head.convs.")
        assert torch.equal(value, (untrained if head else weights)[key]), key
        assert head or not value.is_floating_point() or "norm" in key or not torch.equal(value, untrained[key]), key
    assert len([key for key in pretrained if key.startswith("head.")]) == 8  # seven levels, and one bias


@pytest.mark.parametrize("dataset", list(PLANS))
def test_every_pretext_of_a_set_has_both(dataset):
    arms = level_arms_of(dataset)
    pretrained = [arm.method for arm in arms_of(dataset) if arm.trained and arm.readout == "finetuned"]
    assert [ON_ALL_LEVELS[arm.method] for arm in arms] == ["scratch", *pretrained] * 2
    assert {arm.method in LEVELS for arm in arms[: len(arms) // 2]} == {True}


WAYS = dict(zip(SCRATCH_WAYS, (0.5, 0.45, 0.4), strict=True))


def _found(tmp_path, ways, ours):
    """Rows of 20 draws with so much Dice at both numbers of steps: differences are the same in every draw."""
    for steps in (50, 200):
        for method, level in {**dict(zip(SCRATCH_WAYS, ways, strict=True)), "models_genesis_probed": ours}.items():
            write_rows(tmp_path, method, "finetuned", 1, steps, level, draws=range(20))
    return read_found(tmp_path)[0]


@pytest.mark.parametrize(
    "ways, ours, said",
    [
        ((0.5, 0.45, 0.4), 0.6, "helps"),
        ((0.5, 0.45, 0.65), 0.6, "no difference shown"),
        ((0.5, 0.65, 0.4), 0.6, "no difference shown"),
        ((0.65, 0.5, 0.4), 0.6, "no difference shown"),
        ((0.7, 0.65, 0.8), 0.6, "harms"),
    ],
)
def test_it_helps_only_where_it_is_above_every_scratch(tmp_path, ways, ours, said):
    found = _found(tmp_path, ways, ours)
    assert found.methods("finetuned") == ["scratch"]  # in no other table
    table = level_tables.levels_table(found)
    (row,) = (row for row in table if row[:2] == ["50", "models_genesis"])
    assert row[-2] == said and row[2] == "as readout"
    assert float(row[-1]) == 0  # the same difference from scratch in every draw, whatever the other ways are
    assert [cell.split(" ")[0] for cell in row[4:7]] == [f"{ours - way:+.3f}" for way in ways]
    assert [row[1:3] for row in table[1:4]] == [
        ["none", "at random"],
        ["none", "as readout"],
        ["models_genesis", "as readout"],
    ]
    (fewer,) = (row for row in level_tables.levels_fewer_table(found) if row[0] == "models_genesis_probed")
    assert [cell.split(" ")[0] for cell in fewer[1:4]] == [f"{ours - way:+.3f}" for way in ways]
    assert fewer[4:] == [tables.ABSENT] * 2  # nothing has run for 800 steps
    assert f"one label, 50 steps: **{said}**" in "\n".join(page.sentence(found))


def test_what_runs_for_many_steps_is_compared_with_scratch_as_long(tmp_path):
    found = _found(tmp_path, WAYS.values(), 0.6)
    assert len(level_tables.long_table(found)) == 1  # its heading
    for method, dice in (("scratch", 0.7), ("scratch_levels", 0.72), ("region_prompts_probed", 0.75)):
        write_rows(tmp_path, method, "finetuned", 1, 800, dice, draws=range(20))
    found = read_found(tmp_path)[0]
    rows = [[cell.split(" ")[0] for cell in row] for row in level_tables.long_table(found)[1:]]
    assert [[row[0], *row[2:]] for row in rows] == [
        ["scratch", tables.ABSENT, "-0.020"],
        ["scratch_levels", "+0.020", tables.ABSENT],
        ["region_prompts_probed", "+0.050", "+0.030"],
    ]
    assert float(rows[2][1]) - float(rows[0][1]) == pytest.approx(0.05, abs=1e-3)
    (fewer,) = (row for row in level_tables.levels_fewer_table(found) if row[0] == "models_genesis_probed")
    assert [cell.split(" ")[0] for cell in fewer[4:]] == ["-0.100", "-0.120"]  # 200 steps against 800


def test_answers_without_fine_tuning_are_compared_with_scratch(tmp_path):
    write_rows(tmp_path, "models_genesis", "frozen", 1, 0, 0.45, draws=range(20))
    for method, dice in (("mean_mask", 0.3), ("region_prompts", 0.55)):
        write_rows(tmp_path, method, "one_shot", 1, 0, dice, draws=range(20))
    table = tables.untuned_table(_found(tmp_path, WAYS.values(), 0.6))
    assert [[cell.split(" ")[0] for cell in row] for row in table[1:]] == [
        ["mean_mask", "one_shot", "-0.200", "-0.200", tables.ABSENT],
        ["region_prompts", "one_shot", "+0.050", "+0.050", "+0.250"],
        ["models_genesis", "frozen", "-0.050", "-0.050", "+0.150"],
    ]


def test_the_largest_p_counts_and_all_planned_are_corrected_for(tmp_path, monkeypatch):
    found = _found(tmp_path, WAYS.values(), 0.6)
    p = dict(zip(SCRATCH_WAYS, (0.0001, 0.0002, 0.0003), strict=True))
    given = {name: Difference(0.1, 0.0, 0.2, p[name], 20, 5, 20) for name in SCRATCH_WAYS}
    monkeypatch.setattr(type(found), "gain", lambda self, key, over: given[over[0]] if key in self.scores else None)
    (_, one), (_, other) = level_tables.over_scratches(found).values()
    planned = 2 * (len(level_arms_of("hippocampus")) - 2)
    assert one == other == pytest.approx(0.0003 * planned)


@pytest.mark.parametrize("few", [*SCRATCH_WAYS, "models_genesis_probed"])
def test_nothing_is_called_a_difference_before_all_draws_of_all_are_there(tmp_path, few):
    for method, level in {**WAYS, "models_genesis_probed": 0.6}.items():
        write_rows(tmp_path, method, "finetuned", 1, 50, level, draws=range(3 if method == few else 20))
    found = read_found(tmp_path)[0]
    (row,) = (row for row in level_tables.levels_table(found) if row[1] == "models_genesis")
    assert row[-2] == "not yet: 3 of 20 draws" and "**not yet: 3 of 20 draws**" in "\n".join(page.sentence(found))
    shown = dict(zip(SCRATCH_WAYS, row[4:7], strict=True))
    short = row[4:7] if few == "models_genesis_probed" else [shown[few]]
    assert all("(3 of 20 draws)" in cell for cell in short)


def test_a_way_of_scratch_that_has_not_run_gives_no_verdict(tmp_path):
    for method in ("scratch", "scratch_probed", "models_genesis_probed"):
        write_rows(tmp_path, method, "finetuned", 1, 50, WAYS.get(method, 0.6), draws=range(20))
    found = read_found(tmp_path)[0]
    (row,) = (row for row in level_tables.levels_table(found) if row[1] == "models_genesis")
    assert row[-2] == "not yet: no scratch_levels" and row[-3] == tables.ABSENT and float(row[-1]) == 0
