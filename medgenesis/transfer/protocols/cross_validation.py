"""Cross-validation by patient: every labelled record is answered once, by a network that has not seen its patient."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigParser

from medgenesis.data import datalist_header
from medgenesis.data.folds import patient_folds, patient_of
from medgenesis.progress import track
from medgenesis.report import write_run_report
from medgenesis.report.case_summary import SUMMARY_COLUMNS, summarise_cases
from medgenesis.report.run_report import CASE_COLUMNS, WORST, mean_dice
from medgenesis.report.text import interval_text
from medgenesis.statistics.auc import AUC_COLUMNS, auc_interval, auc_table, in_columns, in_full_order
from medgenesis.stopping import end_if_asked, ended_by_signals
from medgenesis.storage.run_folder import held
from medgenesis.storage.steps import Step, Steps
from medgenesis.storage.tables import read_table, write_table
from medgenesis.transfer.protocols.classified import predictions_after_classifying
from medgenesis.transfer.protocols.folds_with_labels import check_folds, have_foreground
from medgenesis.transfer.protocols.last_dice import dice_after_finetuning
from medgenesis.transfer.protocols.last_weights import usable_records
from medgenesis.transfer.protocols.run_identity import run_made_with
from medgenesis.weights import warn_of_seen

logger = logging.getLogger(__name__)

TASKS = {"finetune": "cases.csv", "classify": "predictions.csv"}


def cross_validate(
    configs: Sequence[str | Path],
    datalist: str | Path,
    folder: str | Path,
    *,
    init: str,
    task: str = "finetune",
    folds: int = 5,
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
) -> str:
    """Fine-tune (or train a classifier) once a fold on the other folds' patients, and answer the fold with it.

    The sections `training` and `validation` are cut into folds by patient, where all records have a class by class too;
    `test` is not touched. The last weights of each run answer, since choosing the best on the fold would flatter; Dice
    and distances are measured on the images' own grid. A finished fold is kept and not repeated with the same settings,
    lists, files and checkpoint; a stopped one continues.

    Args:
        configs: the bundle's `finetune.yaml` or `classify.yaml`, and overlays.
        datalist: with labelled records.
        folder: receives `cases.csv` and `summary.csv`, or `predictions.csv` and `auc.csv`, of all folds; `report.html`;
            and `fold_0`, `fold_1`, …, the runs.
        init: checkpoint, or "scratch".
        task: "finetune" or "classify".
        folds: number of folds.
        seed: of the folds and of the trainings.
        overrides: settings of the configs, by id.

    Returns:
        The summary in Markdown, with 95 % intervals over patients.

    Raises:
        ValueError: another task; a plateau or patience, which would follow the fold.
        OutputError: another process is at work in the folder.
        DatalistError: fewer patients than folds; a fold whose other folds have no label map with any of the classes.
        KeyboardInterrupt, SystemExit: after a Ctrl-C or SIGTERM, which ends the whole cross-validation.
    """
    if task not in TASKS:
        raise ValueError(f"task: must be one of {', '.join(TASKS)}; found {task!r}. Choose one of them.")
    with held(folder), ended_by_signals(folder):
        return _cross_validated(configs, datalist, Path(folder), init, task, folds, seed, overrides)


def _cross_validated(configs, datalist, folder: Path, init: str, task: str, folds: int, seed: int, overrides) -> str:
    overrides = {"datalist": str(Path(datalist).absolute()), **(overrides or {})}

    def read(section: str) -> list[dict]:
        return usable_records(datalist, section, overrides.get("on_error"), labels=task == "finetune")

    records = [record for section in ("training", "validation") for record in read(section)]
    parts = patient_folds(records, folds, seed)
    warn_of_seen(init, datalist, ("training", "validation"))
    if task == "finetune":
        check_folds(parts, have_foreground(configs, records, folder, overrides), folds)
    header = datalist_header(datalist)
    measured = {"finetune": "on the images' own grid", "classify": "without a plateau, to nine digits"}[task]
    also = {"measured": measured, "labels of the list": {name: header.get(name) for name in ("label_merge", "labels")}}
    for fold in track(range(folds), "folds"):
        end_if_asked()
        training = [record for record, part in zip(records, parts, strict=True) if part != fold]
        held_out = [record for record, part in zip(records, parts, strict=True) if part == fold]
        _once(folder / f"fold_{fold}", task, configs, training, held_out, init, seed, overrides, also)
    end_if_asked()
    numbers = [[i + 1 for i, part in enumerate(parts) if part == fold] for fold in range(folds)]
    patients = {i + 1: patient_of(record) for i, record in enumerate(records)}
    if task == "finetune":
        text = _pool_cases(folder, numbers, patients, seed)
    else:
        parser = ConfigParser(ConfigParser.load_config_files([str(path) for path in configs]))
        multi_label = bool(overrides.get("multi_label", parser.get("multi_label", False)))
        text = _pool_predictions(folder, numbers, patients, multi_label)
    page = write_run_report(folder, f"Cross-validation, {folds} folds")
    logger.info("written: %s, %s", folder / TASKS[task], page)
    return text


def _once(run: Path, task: str, configs, training: list, held_out: list, init: str, seed: int, overrides, also) -> None:
    """One fold, unless it was done from the same."""
    unfinished = (f"runs/{task}/last.pt", f"runs/{task}/best.pt")
    steps = Steps(run, {task: Step((TASKS[task],), unfinished)}, changed="renew")
    settings = dict(init=init, seed=seed, overrides=overrides)

    def answer() -> None:
        if task == "finetune":
            dice_after_finetuning(configs, training, held_out, run, iterations=None, **settings)
        else:
            predictions_after_classifying(configs, training, held_out, run, **settings)

    steps.once(task, run_made_with(configs, training, held_out, also, **settings), answer)


def _pool_cases(folder: Path, numbers: list[list[int]], patients: Mapping[int, str], seed: int) -> str:
    """The cases of all folds in one table, numbered as in the list, and the worst drawings."""
    rows, drawn = [], {}
    for fold, own in enumerate(numbers):
        run = folder / f"fold_{fold}"
        for row in read_table(run / "cases.csv"):
            case = own[int(row["case"]) - 1]
            drawn[case] = run / "cases" / f"case_{int(row['case']):04d}.png"
            rows.append({**row, "case": case, "fold": fold})
    write_table(folder / "cases.csv", rows, (*CASE_COLUMNS, "fold"))
    shutil.rmtree(folder / "cases", ignore_errors=True)
    (folder / "cases").mkdir()
    worst = sorted(mean_dice(rows).items(), key=lambda item: item[1])
    for case, _ in [item for item in worst if drawn[item[0]].is_file()][:WORST]:
        shutil.copyfile(drawn[case], folder / "cases" / f"case_{case:04d}.png")
    summary = summarise_cases(rows, patients, seed)
    write_table(folder / "summary.csv", summary, SUMMARY_COLUMNS, decimals=".5g")
    lines = ["| class | measure | cases | mean [95 %] |", "|---|---|---|---|"]
    for row in summary:
        name = f"{row['class']} {row['name']}".strip()
        measure = f"{row['measure']} {row['unit']}".strip()
        lines.append(f"| {name} | {measure} | {row['cases']} | {_cell(row['mean'], row['low'], row['high'])} |")
    counted = {row["case"] for row in rows if row["dice"]}
    note = f"95 % intervals over {len({patients[case] for case in counted})} patients."
    if len(counted) < len(drawn):
        note += f" {len(drawn) - len(counted)} cases have none of the classes, and are not counted."
    return "\n".join([*lines, "", note])


def _pool_predictions(folder: Path, numbers: list[list[int]], patients: Mapping[int, str], multi_label: bool) -> str:
    """The answers of all folds in one table; the AUC of each class over all, and its mean over folds."""
    rows = []
    for fold, own in enumerate(numbers):
        for row in read_table(folder / f"fold_{fold}" / "predictions.csv"):
            rows.append({**row, "record": own[int(row["record"]) - 1], "fold": fold})
    write_table(folder / "predictions.csv", rows)
    found = np.array([[float(value) for name, value in row.items() if name.startswith("p_")] for row in rows])
    words = [[int(one) for one in row["truth"].split()] for row in rows]
    truth = np.array([in_columns(one, found.shape[1], multi_label=multi_label) for one in words])
    owners, parts = [patients[row["record"]] for row in rows], np.array([row["fold"] for row in rows])
    table = auc_table(truth, found, owners, multi_label=multi_label)
    scores = found if multi_label else in_full_order(found)
    lines = ["| class | records | AUC [95 %] | mean of folds |", "|---|---|---|---|"]
    for row in table:
        index = row["class"]
        each = [auc_interval(truth[parts == fold, index], scores[parts == fold, index])[0] for fold in set(parts)]
        each = [one for one in each if not np.isnan(one)]  # a fold may lack the class
        row["mean_of_folds"] = float(np.mean(each)) if each else None
        cell, mean = _cell(row["auc"], row["low"], row["high"]), _cell(row["mean_of_folds"])
        lines.append(f"| {index} | {row['records']} | {cell} | {mean} |")
    write_table(folder / "auc.csv", table, (*AUC_COLUMNS, "mean_of_folds"), decimals=".5f")
    return "\n".join([*lines, "", f"95 % intervals over {len(set(owners))} patients."])


def _cell(value: float | None, low: float | None = None, high: float | None = None) -> str:
    return "–" if value is None else interval_text(value, low, high)
