"""Cross-validation: who answers whom, what is pooled, and what is not repeated. Trainings are stand-ins."""

import json
import signal
import unittest.mock
from contextlib import suppress

import nibabel as nib
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from medgenesis.data.image_fingerprints import image_fingerprints
from medgenesis.errors import DatalistError, OutputError
from medgenesis.report.run_report import CASE_COLUMNS
from medgenesis.storage.tables import read_table, write_table
from medgenesis.transfer import cross_validate
from medgenesis.transfer.protocols import cross_validation
from medgenesis.transfer.protocols.classified import predictions_after_classifying
from medgenesis.weights.kept import SEEN, keep


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Twelve records of nine patients; a stand-in answers a record by its number, and notes who it has learnt from."""
    records = [
        {"image": f"{i}.nii.gz", "label": f"l{i}.nii.gz", "patient": str(i % 9), "class": int(i % 9 < 4)}
        for i in range(12)
    ]
    for record in records:
        (tmp_path / record["image"]).touch()
        (tmp_path / record["label"]).touch()
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

    monkeypatch.setattr(cross_validation, "have_foreground", lambda configs, records, *_: [True] * len(records))
    monkeypatch.setattr(cross_validation, "dice_after_finetuning", segment)
    monkeypatch.setattr(cross_validation, "predictions_after_classifying", classify)

    def run(**settings):
        return cross_validate(
            [tmp_path / "finetune.yaml"], tmp_path / "list.json", tmp_path / "out", **{"init": "scratch", **settings}
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


def test_the_folder_is_held_while_it_runs_and_free_afterwards(study, monkeypatch):
    run, asked, out = study
    with monkeypatch.context() as patch:
        patch.setattr("medgenesis.storage.run_folder._lock", unittest.mock.Mock(side_effect=BlockingIOError))
        with pytest.raises(OutputError, match="one run at a time"):
            run(folds=3)
    assert not asked
    answer = cross_validation.dice_after_finetuning

    def looking(*args, **settings):
        assert (out / ".running").is_file()
        answer(*args, **settings)

    monkeypatch.setattr(cross_validation, "dice_after_finetuning", looking)
    run(folds=3)
    assert len(asked) == 3 and not (out / ".running").exists()


@pytest.mark.parametrize("task", ["finetune", "classify"])
def test_one_ctrl_c_ends_it_also_where_a_fold_swallows_it(study, monkeypatch, task):
    run, asked, _ = study
    name = {"finetune": "dice_after_finetuning", "classify": "predictions_after_classifying"}[task]
    answer = getattr(cross_validation, name)

    def swallowing(*args, **settings):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        answer(*args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(cross_validation, name, swallowing)
        with pytest.raises(KeyboardInterrupt):
            run(folds=3, task=task)
    assert len(asked) == 1
    run(folds=3, task=task)
    assert len(asked) == 3


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


def write_answers(folder, truths, scores):
    """Two folds of predictions.csv; the records' numbers in each."""
    rows = [
        {"record": i + 1, "truth": truth, **{f"p_{c}": one for c, one in enumerate(score)}}
        for i, (truth, score) in enumerate(zip(truths, scores, strict=True))
    ]
    for fold in (0, 1):
        (folder / f"fold_{fold}").mkdir()
        write_table(folder / f"fold_{fold}" / "predictions.csv", rows)
    return [[i + 1 + fold * len(rows) for i in range(len(rows))] for fold in (0, 1)]


def pooled(folder, truths, scores, multi_label):
    numbers = write_answers(folder, truths, scores)
    patients = {i: str(i) for own in numbers for i in own}
    text = cross_validation._pool_predictions(folder, numbers, patients, multi_label)
    return text, read_table(folder / "auc.csv")


def test_confident_answers_keep_their_order(tmp_path):
    """All of class 1 above those of class 0, all above 0.999999: the AUC is 1."""
    far = np.array([14, 30, 15, 35, 16, 40], dtype=np.float64)  # log-odds of class 1
    scores = np.stack([1 / (1 + np.exp(far)), 1 / (1 + np.exp(-far))], axis=1).astype(np.float32).astype(float)
    _, (row,) = pooled(tmp_path, ["0", "1"] * 3, scores.tolist(), multi_label=False)
    assert float(row["auc"]) == float(row["mean_of_folds"]) == 1


def test_one_finding_is_a_finding(tmp_path):
    _, (row,) = pooled(tmp_path, ["0", "1"] * 5, [[0.1], [0.9]] * 5, multi_label=True)
    assert float(row["auc"]) == 1 and row["with"] == "10"


def test_a_finding_that_no_record_has_is_passed_over(tmp_path):
    text, rows = pooled(tmp_path, ["0 0", "1 0"] * 5, [[0.1, 0.3], [0.9, 0.4]] * 5, multi_label=True)
    assert "| 1 | 20 | – | – |" in text and [row["mean_of_folds"] for row in rows] == ["1.00000", ""]


def test_a_record_without_class_is_told_before_training(tmp_path):
    (tmp_path / "classify.yaml").write_text("num_classes: 2\ntrain: {dataset: {}}\nvalidate: {dataset: {}}\n")
    records = [{"image": "a.nii.gz", "class": 1}, {"image": "b.nii.gz"}, {"image": "c.nii.gz", "class": 2}]
    for training, test in ((records[:1], records[1:2]), (records[2:], records[:1])):
        with pytest.raises(DatalistError, match="class: each record must have one from 0 to 1"):
            predictions_after_classifying(
                [tmp_path / "classify.yaml"], training, test, tmp_path, init="scratch", seed=0
            )


def test_records_that_are_skipped_are_left_out_before_folds_are_made(study, tmp_path):
    """Else the answers behind one would get another record's number and patient."""
    run, asked, out = study
    for i in range(12):
        nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), tmp_path / f"{i}.nii.gz")
        nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), tmp_path / f"l{i}.nii.gz")
    (tmp_path / "3.nii.gz").unlink()
    (tmp_path / "5.nii.gz").write_bytes(b"damaged")
    with pytest.raises(DatalistError, match="3.nii.gz"):
        run(folds=3, task="classify")
    run(folds=3, task="classify", overrides={"on_error": "skip"})
    left = [i for i in range(12) if i not in (3, 5)]
    assert sorted(sum(asked, [])) == left
    rows = {int(row["record"]): float(row["p_1"]) for row in read_table(out / "predictions.csv")}
    assert rows == pytest.approx({place: i / 20 for place, i in enumerate(left, 1)})


def test_folds_are_checked_before_the_first(study, monkeypatch, caplog):
    run, asked, _ = study
    parts = cross_validation.patient_folds(
        [{"image": "", "patient": str(i % 9), "class": int(i % 9 < 4)} for i in range(12)], 3, 0
    )

    def only(*folds):
        found = [part in folds for part in parts]
        monkeypatch.setattr(cross_validation, "have_foreground", lambda *_: found)

    only(1)
    held_out = ", ".join(str(i + 1) for i, part in enumerate(parts) if part == 1)
    with pytest.raises(DatalistError, match=f"found none in the . of fold 1, .*records {held_out} of .*fewer --folds"):
        run(folds=3)
    assert not asked
    only(0, 2)
    run(folds=3)
    (said,) = [message for message in caplog.messages if "none of its" in message]
    assert said.startswith("fold 1: ") and f"(records {held_out} of" in said and len(asked) == 3


def test_weights_that_have_seen_what_is_held_out_are_said(study, tmp_path, caplog):
    run, _, _ = study
    seen = image_fingerprints({"image": str(tmp_path / "0.nii.gz")})  # all stand-ins are alike
    torch.save(keep({"w": torch.zeros(1)}, SEEN, seen), tmp_path / "seen.pt")
    run(folds=3, init=str(tmp_path / "seen.pt"))
    for section, count in (("training", 8), ("validation", 4)):
        assert f"was trained on {count} of the {count} scans of {section!r}" in caplog.text


def test_cases_without_any_class_are_said(study, monkeypatch):
    run, _, _ = study

    def segment(configs, training, test, folder, **settings):
        rows = [[i, 1, 0.5 if i > 1 else None, None, None, None, "mm", 1.0, 1.0] for i in range(1, len(test) + 1)]
        write_table(folder / "cases.csv", rows, CASE_COLUMNS[:-1])

    monkeypatch.setattr(cross_validation, "dice_after_finetuning", segment)
    assert "3 cases have none of the classes, and are not counted." in run(folds=3)  # the first of each fold


def test_another_task_is_refused(study):
    run, _, _ = study
    with pytest.raises(ValueError, match="task: must be one of"):
        run(task="embed")
