"""What is killed goes on: no cell is lost or counted twice, and rows of other settings never mix."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from benchmarks.evidence import pretexts, programme, protocol, rows, training
from benchmarks.evidence.choosing import BY, CHOSEN
from benchmarks.evidence.probing import ON_ALL_LEVELS
from benchmarks.evidence.programme import Deadline, OutOfTime, Programme
from benchmarks.evidence.protocol import AGAIN, PLANS, Arm, arm_of, arms_of, level_arms_of, planned, seed_of, tuned_at
from benchmarks.evidence.rows import COLUMNS, Cell, RowFile
from benchmarks.evidence.sets import registry
from medgenesis.storage import read_table

CELL = Cell("balls", "scratch", "finetuned", 1, 0, 0, 50)


def test_a_kill_while_rows_are_written_leaves_the_earlier_ones(tmp_path, monkeypatch):
    file = RowFile(tmp_path, CELL, {"rate": 0.1})
    file.add(CELL, [8, 9], ["front", "back"], np.array([[0.5, 0.25], [1.0, np.nan]]))
    before = file.path.read_bytes()
    other = dataclasses.replace(CELL, draw=1)

    def killed(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pathlib.Path.replace", killed)
        file.add(other, [8, 9], ["front", "back"], np.ones((2, 2)))
    assert file.path.read_bytes() == before and file.has(CELL) and not file.has(other)
    file.add(other, [8, 9], ["front", "back"], np.ones((2, 2)))
    with pytest.raises(ValueError, match="added once"):
        file.add(other, [8, 9], ["front", "back"], np.ones((2, 2)))
    found = read_table(file.path)
    assert (
        tuple(found[0]) == COLUMNS
        and [row["dice"] for row in found] == ["0.5000", "0.2500", "1.0000", ""] + ["1.0000"] * 4
    )


def test_rows_of_other_settings_are_in_another_file(tmp_path):
    one, other = (RowFile(tmp_path, CELL, {"rate": rate}) for rate in (0.1, 0.2))
    one.add(CELL, [8], ["front"], np.ones((1, 1)))
    assert one.path != other.path and not other.has(CELL) and one.about.read_text() == '{\n "rate": 0.1\n}\n'


@pytest.fixture
def short(monkeypatch):
    """Few arms, each cell a number that follows from it; returns how often each was computed."""
    arms = (Arm("mean_mask", "one_shot"), Arm("scratch", "finetuned", (0.1, 0.2)))
    cells = [CELL, dataclasses.replace(CELL, draw=1), Cell("balls", "mean_mask", "one_shot", 1, 0, 0, 0)]
    monkeypatch.setattr(protocol, "ARMS", arms)
    monkeypatch.setattr(programme, "planned", lambda name: iter(cells))
    computed, calls = {}, []

    def dice(self, cell, value, cases):
        calls.append(cell)
        if len(calls) in (3, 9):
            raise KeyboardInterrupt
        computed[cell, value] = computed.get((cell, value), 0) + 1
        return np.full((len(cases), 2), 0.5 if value == 0.2 else 0.4)

    monkeypatch.setattr(Programme, "_dice", dice)
    return cells, computed


def test_a_stopped_programme_goes_on(tmp_path, study, short):
    cells, computed = short
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            Programme(study, tmp_path, tmp_path / "rows").run()
    assert Programme(study, tmp_path, tmp_path / "rows").run() == 3
    validated = 2 * programme.VALIDATION_DRAWS
    assert len(computed) == validated + len(cells) and set(computed.values()) == {1}
    assert {cell.draw for cell, value in computed if value == 0.1} == {1000 + n for n in range(4)}  # 0.2 was chosen
    assert Programme(study, tmp_path, tmp_path / "rows").run() == 0
    found = [row for path in (tmp_path / "rows").glob("*.csv") for row in read_table(path)]
    assert len(found) == 3 * 3 * 2 and {row["patient"] for row in found} == {"8", "9", "10"}
    seen = [row for path in (tmp_path / "rows" / "validation").glob("*.csv") for row in read_table(path)]
    assert len(seen) == validated * 2 * 2 and {row["patient"] for row in seen} == {"6", "7"}
    (chosen,) = (read_table(path) for path in (tmp_path / "rows" / "choices").glob("*.csv"))
    assert [(row["value"], row["dice"], row["chosen"]) for row in chosen] == [
        ("0.1", "0.4000", "False"),
        ("0.2", "0.5000", "True"),
    ]


def test_methods_of_a_set_run_side_by_side_and_each_by_one_process(tmp_path, study, short, caplog):
    cells, computed = short
    rows = tmp_path / "rows"
    assert Programme(study, tmp_path, rows, methods=["mean_mask"]).run() == 1
    assert [cell for cell, _ in computed] == [cells[2]]
    program = "import sys; from medgenesis.storage import hold_folder; hold_folder(sys.argv[1]); print(1, flush=True); "
    command = [sys.executable, "-c", program + "sys.stdin.read()", str(tmp_path / study.name / "scratch")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        assert Programme(study, tmp_path, rows, methods=["mean_mask"]).run() == 0
        assert Programme(study, tmp_path, rows).run() == 0
        assert "scratch is left out of this run: another process works on scratch of balls" in caplog.text
        with pytest.raises(pretexts.HeldElsewhere):
            Programme(study, tmp_path, rows).run_cell(cells[0])
        assert Programme(study, tmp_path, rows, methods=["caid"]).run() == 0
        assert "balls has no cells of the method caid" in caplog.text
        other.stdin.close()
    assert [cell for cell, _ in computed] == [cells[2]]


def test_no_cell_begins_after_the_deadline(tmp_path, study, short):
    assert Programme(study, tmp_path, tmp_path / "rows", Deadline(0)).run() == 0
    assert not (tmp_path / "rows").exists()


def test_a_stopped_pretext_ends_as_an_uninterrupted_one(tmp_path, study, monkeypatch):
    for module in (training, programme):
        monkeypatch.setattr(module, "PIECE", 2)
    short = dataclasses.replace(pretexts.PRETEXTS["models_genesis"], steps=4, batch=2)
    monkeypatch.setitem(pretexts.PRETEXTS, "models_genesis", short)
    whole = pretexts.pretrained("models_genesis", study, 3, tmp_path / "whole")

    class Stop(Deadline):
        def check(self):
            self.pieces = getattr(self, "pieces", 0) + 1
            if self.pieces > 1:
                raise OutOfTime

    with pytest.raises(OutOfTime):
        pretexts.pretrained("models_genesis", study, 3, tmp_path / "cut", handlers=(Stop(None),))
    assert len([*(tmp_path / "cut").rglob("*.begun.pt")]) == 1
    cut = pretexts.pretrained("models_genesis", study, 3, tmp_path / "cut")
    assert whole.keys() == cut.keys() and all(torch.equal(whole[key], cut[key]) for key in whole)
    assert not [*(tmp_path / "cut").rglob("*.begun.pt")]


@pytest.mark.parametrize(
    "dataset, draws",
    [("hippocampus", 20), ("prostate", 10), ("lungs", 10), ("fetal_shift", 10), ("mouse", 10), ("nodules", 10)],
)
def test_planned_cells_are_each_of_an_arm_once(dataset, draws):
    cells = list(planned(dataset))
    arms, without = (*arms_of(dataset), *level_arms_of(dataset)), set(PLANS[dataset].without)
    assert without <= {arm.method for arm in arms}  # what cannot be trained is of the family, and has no cells
    known = {(arm.method, arm.readout) for arm in arms if ON_ALL_LEVELS.get(arm.method, arm.method) not in without}
    chosen = {cell for cell in cells if cell.method in CHOSEN}
    assert (
        len(set(cells)) == len(cells) and {(cell.method, cell.readout) for cell in cells if cell not in chosen} == known
    )
    assert {cell.seed for cell in chosen} == ({0, 1, 2} if PLANS[dataset].choosing else set())
    assert all((arm_of(cell).method, arm_of(cell).readout) == (BY, cell.readout) for cell in chosen)
    assert {cell.readout for cell in cells} == set(rows.READOUTS)
    primary = [cell for cell in cells if (cell.method, cell.labels, cell.steps) == ("scratch", 1, 200)]
    assert sorted(cell.draw for cell in primary if cell.draw < AGAIN) == list(range(draws))
    assert all(seed_of(cell.draw) == cell.seed for cell in cells)


def test_values_of_other_cells_are_those_of_the_nearest():
    assert [tuned_at(1, steps) for steps in (25, 50, 100, 400, 800)] == [(1, n) for n in (50, 50, 200, 200, 800)]
    assert [tuned_at(labels, 400) for labels in (2, 3, 5, 10)] == [(3, 400)] * 4 and tuned_at(10, 0) == (3, 0)


def test_every_set_has_a_plan():
    assert PLANS.keys() == registry().keys()


def test_every_source_is_learnt_from(tmp_path, study, monkeypatch):
    """Of more sources than a checkpoint's piece: each comes equally often."""
    seen = []
    short = dataclasses.replace(pretexts.PRETEXTS["models_genesis"], steps=6, batch=2)
    monkeypatch.setitem(pretexts.PRETEXTS, "models_genesis", short)
    monkeypatch.setattr(training, "PIECE", 2)
    source = pretexts.CasesInMemory.source
    monkeypatch.setattr(pretexts.CasesInMemory, "source", lambda self, i: seen.append(i % 6) or source(self, i))
    pretexts.pretrained("models_genesis", study, 0, tmp_path)
    assert sorted(seen) == sorted([*range(6)] * 2)
