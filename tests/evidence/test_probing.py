"""Fine-tuning that begins with the frozen readout: it begins there, all of it is learnt, and both scratches count."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.evidence_rows import write_rows

from benchmarks.evidence import finetuning, frozen, page, pretexts, tables
from benchmarks.evidence.found import read_found
from benchmarks.evidence.probing import PROBED, SCRATCH_PROBED
from benchmarks.evidence.programme import Programme
from benchmarks.evidence.protocol import PLANS, arms_of, probed_arms_of
from benchmarks.evidence.rows import Cell
from medgenesis.report.paired import Difference


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
    assert {key for key in before if key.startswith(("weights.", "bias"))} <= changed
    assert any(key.startswith("levels.network.encoder") for key in changed)
    assert not any("head" in key for key in changed)  # the network's own, which is not asked


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
    for method, weights in (("models_genesis_probed", made._weights("models_genesis", 1)), (SCRATCH_PROBED, None)):
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


@pytest.mark.parametrize("dataset", list(PLANS))
def test_every_pretext_of_a_set_has_one(dataset):
    arms = probed_arms_of(dataset)
    pretrained = [arm.method for arm in arms_of(dataset) if arm.trained and arm.readout == "finetuned"]
    assert [PROBED[arm.method] for arm in arms] == ["scratch", *pretrained]


def _found(tmp_path, plain, begun, ours):
    """Rows of 20 draws with so much Dice at both numbers of steps: differences are the same in every draw."""
    for steps in (50, 200):
        for method, level in (("scratch", plain), (SCRATCH_PROBED, begun), ("models_genesis_probed", ours)):
            write_rows(tmp_path, method, "finetuned", 1, steps, level, draws=range(20))
    return read_found(tmp_path)[0]


@pytest.mark.parametrize(
    "plain, begun, ours, said",
    [
        (0.5, 0.4, 0.6, "helps"),
        (0.5, 0.65, 0.6, "no difference shown"),
        (0.65, 0.5, 0.6, "no difference shown"),
        (0.7, 0.65, 0.6, "harms"),
    ],
)
def test_it_helps_only_where_it_is_above_both_scratches(tmp_path, plain, begun, ours, said):
    found = _found(tmp_path, plain, begun, ours)
    assert found.methods("finetuned") == ["scratch"]  # in no other table
    table = tables.probed_table(found)
    (row,) = (row for row in table if row[:2] == ["50", "models_genesis"])
    assert row[-1] == said and row[3].startswith(f"{ours - plain:+.3f}") and row[4].startswith(f"{ours - begun:+.3f}")
    assert [row[1] for row in table[1:]] == ["untrained", "models_genesis"] * 2
    write_rows(tmp_path, "models_genesis", "frozen", 1, 0, 0.45, draws=range(20))
    (fewer,) = tables.probed_fewer_table(read_found(tmp_path)[0])[1:]
    expected = [0.45 - plain] * 2 + [ours - plain, ours - begun]
    assert [cell.split(" ")[0] for cell in fewer[1:]] == [f"{one:+.3f}" for one in expected]
    assert f"one label, 50 steps: **{said}**" in "\n".join(page.sentence(found))


def test_the_larger_p_counts_and_all_planned_are_corrected_for(tmp_path, monkeypatch):
    found = _found(tmp_path, 0.5, 0.4, 0.6)
    given = {
        "scratch": Difference(0.1, 0.0, 0.2, 0.001, 20, 5, 20),
        SCRATCH_PROBED: Difference(0.2, 0.1, 0.3, 0.002, 20, 5, 20),
    }
    monkeypatch.setattr(type(found), "gain", lambda self, key, over: given[over[0]] if key in self.scores else None)
    (*_, p), (*_, other) = tables.over_both_scratches(found).values()
    planned = 2 * (len(probed_arms_of("hippocampus")) - 1)
    assert p == other == pytest.approx(0.002 * planned)


@pytest.mark.parametrize("few", ["scratch", SCRATCH_PROBED, "models_genesis_probed"])
def test_nothing_is_called_a_difference_before_all_draws_of_all_three_are_there(tmp_path, few):
    for method, level in (("scratch", 0.5), (SCRATCH_PROBED, 0.4), ("models_genesis_probed", 0.6)):
        write_rows(tmp_path, method, "finetuned", 1, 50, level, draws=range(3 if method == few else 20))
    found = read_found(tmp_path)[0]
    (row,) = (row for row in tables.probed_table(found) if row[1] == "models_genesis")
    assert row[-1] == "not yet: 3 of 20 draws" and "**not yet: 3 of 20 draws**" in "\n".join(page.sentence(found))
    shown = {"scratch": [row[3]], SCRATCH_PROBED: [row[4]], "models_genesis_probed": row[3:5]}[few]
    assert all("(3 of 20 draws)" in cell for cell in shown)
