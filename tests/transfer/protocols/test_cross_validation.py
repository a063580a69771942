"""Cross-validation: who answers whom, what is pooled, and what is not repeated. Trainings are stand-ins."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medgenesis.report.run_report import CASE_COLUMNS
from medgenesis.storage.tables import read_table, write_table
from medgenesis.transfer import cross_validate
from medgenesis.transfer.protocols import cross_validation


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Twelve records of nine patients; a stand-in answers a record by its number, and notes who it has learnt from."""
    records = [
        {"image": f"{i}.nii.gz", "label": f"{i}.nii.gz", "patient": str(i % 9), "class": int(i % 9 < 4)}
        for i in range(12)
    ]
    for record in records:
        (tmp_path / record["image"]).touch()
    (tmp_path / "list.json").write_text(json.dumps({"training": records[:8], "validation": records[8:], "test": []}))
    (tmp_path / "finetune.yaml").write_text("width: 2\n")
    asked = []

    def number(record):
        return int(record["image"].rsplit("/")[-1].split(".")[0])

    def note(training, test):
        assert not {r["patient"] for r in training} & {r["patient"] for r in test}
        asked.append(sorted(map(number, test)))

    def segment(configs, training, test, folder, **settings):
        note(training, test)
        rows = [[i, 1, number(record) / 20, 0.5, 2.0, 1.0, "mm", 1.0, 1.0] for i, record in enumerate(test, 1)]
        write_table(folder / "cases.csv", rows, CASE_COLUMNS[:-1])

    def classify(configs, training, test, folder, **settings):
        note(training, test)
        rows = [
            {
                "record": i,
                "image": "x",
                "truth": record["class"],
                "p_0": 1 - number(record) / 20,
                "p_1": number(record) / 20,
            }
            for i, record in enumerate(test, 1)
        ]
        write_table(folder / "predictions.csv", rows)

    monkeypatch.setattr(cross_validation, "dice_after_finetuning", segment)
    monkeypatch.setattr(cross_validation, "predictions_after_classifying", classify)

    def run(**settings):
        return cross_validate(
            [tmp_path / "finetune.yaml"], tmp_path / "list.json", tmp_path / "out", init="scratch", **settings
        )

    return run, asked, tmp_path / "out"


def test_every_case_is_answered_once_and_pooled(study):
    run, asked, out = study
    text = run(folds=3)
    assert len(asked) == 3 and sorted(sum(asked, [])) == list(range(12))
    rows = read_table(out / "cases.csv")
    assert {int(row["case"]): float(row["dice"]) for row in rows} == pytest.approx({i + 1: i / 20 for i in range(12)})
    (row,) = (row for row in read_table(out / "summary.csv") if (row["class"], row["measure"]) == ("1", "dice"))
    assert float(row["mean"]) == pytest.approx(np.mean(np.arange(12) / 20)) and row["patients"] == "9"
    assert f"{float(row['mean']):.3f} [{float(row['low']):.3f}" in text and (out / "report.html").is_file()


def test_a_finished_fold_is_not_repeated(study):
    run, asked, out = study
    first = run(folds=3)
    assert run(folds=3) == first and len(asked) == 3
    (out / "fold_1" / "steps.json").unlink()
    (out / "fold_1" / "cases.csv").unlink()
    assert run(folds=3) == first and len(asked) == 4
    run(folds=3, overrides={"learning_rate": 0.1})
    assert len(asked) == 7


def test_answers_of_a_classifier_are_pooled(study):
    run, _, out = study
    run(folds=3, task="classify")
    rows = read_table(out / "predictions.csv")
    assert sorted(int(row["record"]) for row in rows) == list(range(1, 13))
    truth, scores = [int(row["truth"]) for row in rows], [float(row["p_1"]) for row in rows]
    (auc,) = read_table(out / "auc.csv")
    assert float(auc["auc"]) == pytest.approx(roc_auc_score(truth, scores), abs=1e-5)
    by_fold = []
    for fold in "012":
        own = [i for i, row in enumerate(rows) if row["fold"] == fold]
        by_fold.append(roc_auc_score([truth[i] for i in own], [scores[i] for i in own]))
    assert float(auc["mean_of_folds"]) == pytest.approx(np.mean(by_fold), abs=1e-5)


def test_another_task_is_refused(study):
    run, _, _ = study
    with pytest.raises(ValueError, match="task: must be one of"):
        run(task="embed")
