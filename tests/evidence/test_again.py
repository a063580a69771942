"""What is asked again with other labelled patients: its draws are of a table of their own, and of no other."""

import pytest
from helpers.evidence_rows import write_rows

from benchmarks.evidence import in_short, level_tables, page, readme, tables
from benchmarks.evidence.found import read_found
from benchmarks.evidence.probing import SCRATCH_WAYS
from benchmarks.evidence.protocol import AGAIN, PLANS, planned

OURS = "region_prompts_probed"
DRAWS = range(AGAIN, AGAIN + 20)
DICE = {**dict(zip(SCRATCH_WAYS, (0.3, 0.35, 0.4), strict=True)), OURS: 0.5}


def _found(folder, dice=DICE, few=None):
    for method, level in dice.items():
        for steps in (50, 200):
            draws = list(DRAWS)[: 5 if method == few else None]
            write_rows(folder, method, "finetuned", 1, steps, level, draws=draws, dataset="nodules")
    return read_found(folder)[0]


def test_its_draws_are_of_no_other_table(tmp_path):
    found = _found(tmp_path)
    assert not found.scores and len(level_tables.levels_table(found)) == len(tables.scratch_table(found)) == 1
    for method in DICE:
        write_rows(tmp_path, method, "finetuned", 1, 50, 0.2, draws=[*range(10), *DRAWS], dataset="nodules")
    found = read_found(tmp_path)[0]
    assert {cell[0] for own in found.scores.values() for cell in own} == set(range(10))
    assert {cell[0] for own in found.again.scores.values() for cell in own} == set(DRAWS)
    (row,) = (row for row in level_tables.levels_table(found) if row[1] == "region_prompts")
    assert row[4].startswith("+0.000")


@pytest.mark.parametrize(("ours", "said"), [(0.5, "helps"), (0.37, "no difference shown"), (0.2, "harms")])
def test_it_is_compared_with_every_scratch(tmp_path, ours, said):
    found = _found(tmp_path, {**DICE, OURS: ours})
    for row in level_tables.again_table(found)[1:]:
        assert row[1] == OURS and row[-1] == said and row[-2] == "20 of 20"
        assert [cell.split(" ")[0] for cell in row[3:6]] == [f"{ours - DICE[one]:+.3f}" for one in SCRATCH_WAYS]
    assert len(level_tables.again_table(found)) == 3
    lines = in_short.asked_again([found])
    assert len(lines) == 2 and lines[0].startswith(f"- `nodules`, `{OURS}`, 50 steps: **{said}**: {ours - 0.3:+.3f} [")
    write_rows(tmp_path, "scratch", "finetuned", 1, 50, 0.5, draws=range(20))  # without the primary set no README
    for text in (page.write_page(tmp_path, tmp_path / "docs").read_text(), readme.lines(tmp_path)):
        assert all(line in text for line in lines)


@pytest.mark.parametrize("few", DICE)
def test_nothing_is_said_before_all_draws_are_there(tmp_path, few):
    found = _found(tmp_path, few=few)
    for row in level_tables.again_table(found)[1:]:
        assert row[-1] == "not yet: 5 of 20 draws" and row[-3] == tables.ABSENT
    without = {method: dice for method, dice in DICE.items() if method != few}
    (tmp_path / "none").mkdir()
    said = [row[-1] for row in level_tables.again_table(_found(tmp_path / "none", without))[1:]]
    assert said == ([] if few == OURS else [f"not yet: no {few}"] * 2)


def test_every_way_of_scratch_is_planned_with_it():
    for dataset, plan in PLANS.items():
        cells = {(cell.method, cell.draw, cell.steps) for cell in planned(dataset) if cell.draw >= AGAIN}
        methods = (*SCRATCH_WAYS, *plan.again) if plan.again else ()
        draws = range(AGAIN, AGAIN + plan.again_draws)
        assert cells == {(method, draw, steps) for method in methods for draw in draws for steps in (50, 200)}
    assert PLANS["nodules"].again == (OURS,) and PLANS["nodules"].again_draws == len(DRAWS)
    assert {dataset for dataset, plan in PLANS.items() if plan.again} == {"nodules", "prostate", "fetal_shift"}
