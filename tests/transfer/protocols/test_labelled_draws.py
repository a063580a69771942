"""Which labelled patients are drawn, and what is said where draws are copies of each other."""

import csv
import json
import re

import numpy as np
import pytest
from helpers.comparison import STARTS, cells_of

from medgenesis.transfer.protocols import few_labels
from medgenesis.transfer.protocols.labelled_draws import drawn_records


def test_draws_begin_with_other_patients_and_fewer_are_among_more():
    training = [{"image": f"p{i}_t{visit}.nii", "patient": f"p{i}"} for i in range(8) for visit in range(2)]
    drawn = drawn_records("list.json", training, [1, 3, 8], range(16))
    patients = {key: [record["patient"] for record in records] for key, records in drawn.items()}
    for start in (0, 5, 8):
        assert len({frozenset(patients[1, seed]) for seed in range(start, start + 8)}) == 8
    for seed in range(16):
        assert patients[1, seed] == patients[3, seed][:2] and patients[3, seed] == patients[8, seed][:6]
        assert len(set(patients[3, seed])) == 3 and set(patients[8, seed]) == {f"p{i}" for i in range(8)}
    assert len({tuple(patients[8, seed]) for seed in range(0, 16, 8)}) == 2  # the others are drawn by the seed
    few, more = (drawn_records("list.json", training[:10], [2], range(count)) for count in (5, 9))
    assert len({frozenset(record["patient"] for record in records) for records in few.values()}) == 5  # of 10 there are
    assert all(more[key] == records for key, records in few.items())  # --seeds 9 goes on


def test_draws_of_the_same_patients_are_one_set_without_verdict_or_interval(comparison, tmp_path, caplog):
    """Of five patients five are one set, whatever the seed."""
    compare, _ = comparison
    text = compare(counts=(2, 5), seeds=range(5), frozen=True)
    first, *_ = text.splitlines()
    assert "no verdict (fewer than five sets of labelled patients and test patients) in " in first
    assert "helps" not in first
    why = "no verdict: 1 set of labelled patients and 4 test patients, five are needed"
    rows = {(cell[0], cell[2]): cell[3:] for cell in cells_of(text) if len(cell) == 8}
    with (tmp_path / "cases.csv").open(newline="") as file:
        cases = list(csv.DictReader(file))
    means = {}
    for start in STARTS:
        dice = {}
        for row in cases:
            if (row["labelled patients"], row["steps"], row["start"]) == ("5", "10", start) and row["dice"] != "nan":
                dice.setdefault((row["seed"], row["test record"]), []).append(float(row["dice"]))
        means[start] = np.mean([np.mean(values) for values in dice.values()])
    ours, scratch = rows["5", "pre-trained"], rows["5", "scratch"]
    gain = means["pre-trained"] - means["scratch"]
    assert [float(ours[0]), float(scratch[0])] == pytest.approx([means[start] for start in STARTS], abs=1e-3)
    assert float(ours[1]) == pytest.approx(gain, abs=1e-3) and ours[2:] == ["–", f"{int(gain > 0)}/1", why]
    (said,) = [line for line in text.splitlines() if line.startswith("- pre-trained, 5 labelled patients, 10 steps")]
    assert f": {why} (" in said and said.endswith(" Give more labelled patients, or --labels 2.")
    assert "[" not in said and all("[" not in cell for line in cells_of(text) if line[0] == "5" for cell in line[2:])
    assert "With 5 labelled patients the 5 draws are 1 set of labelled patients" in text
    page = (tmp_path / "report.html").read_text()
    assert why in page and "the 5 draws are 1 set of labelled patients" in page
    assert "5 labelled patients: no verdict will be given, 1 set of labelled patients" in caplog.text


def test_a_gain_over_copies_of_one_draw_does_not_help(comparison, monkeypatch, tmp_path):
    compare, _ = comparison

    def always_better(configs, training, test, folder, *, init, seed, iterations, overrides):
        rng = np.random.default_rng([seed, len(training), init != "scratch"])
        return np.clip(rng.normal(0.5 + 0.3 * (init != "scratch"), 0.01, (len(test), 2)), 0, 1)

    monkeypatch.setattr(few_labels, "dice_after_finetuning", always_better)
    records = json.loads((tmp_path / "list.json").read_text())
    records["test"].append({"image": "9.nii.gz", "label": "9_seg.nii.gz"})  # the fifth test patient
    for name in records["test"][-1].values():
        (tmp_path / name).touch()
    (tmp_path / "list.json").write_text(json.dumps(records))
    text = compare(counts=(4, 5), seeds=range(20), iterations=10)
    assert "helps in 1 of 2" in text and "no verdict (fewer than five sets of labelled patients) in 1 of 2" in text
    assert "- pre-trained, 4 labelled patients, 10 steps: helps (" in text
    (sets,) = re.findall(r"With 4 labelled patients the 20 draws are (\d) sets of labelled patients", text)
    assert int(sets) == 5  # there are no more of four among five
