"""Paired tests of a study: on common records, each encoder judged once, and nothing computed twice."""

import numpy as np
import pytest

from medgenesis.statistics.scores import Drawn, Judge, paired_difference
from medgenesis.storage.tables import read_table, write_table
from medgenesis.transfer.comparisons import PAIRS, compare
from medgenesis.transfer.results import load_results, save_result

PATIENTS, TRUTH = np.arange(30) // 2, np.arange(30) % 2


def answered(folder, name, seed, **settings):
    scores = np.random.default_rng(seed).dirichlet([1, 1], 30)
    arrays = {"patients": PATIENTS, "rows": np.arange(30), "truth": TRUTH, "scores": scores}
    save_result(folder, "linear", {"name": name}, {"dataset": "d"}, {"seed": 3, **settings}, {}, arrays)
    return scores


@pytest.fixture
def judged(monkeypatch):
    """How often an encoder was judged on all draws."""
    calls, plain = [], Drawn.of.__func__

    def counted(cls, *given, **settings):
        calls.append(settings)
        return plain(cls, *given, **settings)

    monkeypatch.setattr(Drawn, "of", classmethod(counted))
    return calls


def test_each_encoder_is_judged_once_and_pairs_are_not_repeated(tmp_path, judged):
    scores = {name: answered(tmp_path, name, seed) for seed, name in enumerate("abcd")}
    rows = compare(load_results(tmp_path), tmp_path, draws=50)
    assert len(rows) == 6 * 3 and len(judged) == 4 and {one["seed"] for one in judged} == {3}
    expected = paired_difference(*(Drawn.of(Judge(TRUTH, scores[name]), PATIENTS, draws=50, seed=3) for name in "bd"))[
        "auc"
    ]
    (found,) = [row for row in rows if (row["one"], row["other"], row["measure"]) == ("b", "d", "auc")]
    assert [found[key] for key in ("difference", "low", "high", "p", "patients")] == pytest.approx(
        list(expected.values())
    )
    judged.clear()
    read = compare(load_results(tmp_path), tmp_path, draws=50)
    assert len(read) == 18 and not judged
    assert [row["patients"] for row in read] == [row["patients"] for row in rows] == [15] * 18
    answered(tmp_path, "e", 5)
    assert len(compare(load_results(tmp_path), tmp_path, draws=50)) == 30 and len(judged) == 5
    judged.clear()
    answered(tmp_path, "e", 6)  # written anew
    again = compare(load_results(tmp_path), tmp_path, draws=50)
    assert len(judged) == 5 and len(again) == 30
    kept = [row for row in again if "e" not in (row["one"], row["other"])]
    assert [row["low"] for row in kept] == pytest.approx([row["low"] for row in rows], rel=1e-5)


def test_patients_are_those_of_the_rarest_class_where_classes_weigh_alike(tmp_path):
    truth = (np.arange(30) >= 26).astype(int)  # of patients 13 and 14
    for seed, name in enumerate("ab"):
        scores = np.random.default_rng(seed).dirichlet([1, 1], 30)
        arrays = {"patients": PATIENTS, "rows": np.arange(30), "truth": truth, "scores": scores}
        save_result(tmp_path, "linear", {"name": name}, {"dataset": "d"}, {"seed": 3}, {}, arrays)
    rows = compare(load_results(tmp_path), tmp_path, draws=20)
    assert {row["measure"]: row["patients"] for row in rows} == {"accuracy": 15, "balanced_accuracy": 2, "auc": 2}


def test_pairs_of_an_earlier_version_are_computed_anew(tmp_path, judged):
    for seed, name in enumerate("ab"):
        answered(tmp_path, name, seed)
    rows = compare(load_results(tmp_path), tmp_path, draws=5)
    write_table(tmp_path / PAIRS, [{key: row[key] for key in row if key != "patients"} for row in rows])
    judged.clear()
    compare(load_results(tmp_path), tmp_path, draws=5)
    assert len(judged) == 2


def test_a_result_that_is_gone_is_compared_no_more(tmp_path):
    for seed, name in enumerate("ab"):
        answered(tmp_path, name, seed)
    compare(load_results(tmp_path), tmp_path, draws=5)
    load_results(tmp_path)[0]["path"].unlink()
    assert compare(load_results(tmp_path), tmp_path, draws=5) == [] == read_table(tmp_path / PAIRS)


def test_encoders_are_compared_on_the_cases_that_both_have(tmp_path, caplog):
    values = {"one": ([0, 1, 2, 3], [0.9, 0.8, 0.7, 0.6]), "other": ([1, 2, 3, 4], [0.8, 0.7, 0.6, 0.1])}
    for name, (rows, dice) in values.items():
        arrays = {"patients": np.arange(5), "rows": np.array(rows), "values": np.array(dice)}
        figures = {"dice": {"value": float(np.mean(dice)), "low": 0.0, "high": 1.0}}
        save_result(tmp_path, "propagate", {"name": name}, {"dataset": "d"}, {}, figures, arrays)
    (pair,) = compare(load_results(tmp_path), tmp_path)
    assert pair["difference"] == 0  # each case with itself
    assert "one and other are compared on 3 records of 4 and 4" in caplog.text
