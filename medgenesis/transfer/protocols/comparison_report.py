"""The page of a comparison, made of what it and its runs have recorded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medgenesis.report import Report, read_curves
from medgenesis.report.run_report import DISTANCES, add_cases, class_name, means_of_class, measured_in
from medgenesis.storage.tables import read_table

Row = Mapping[str, str]


def run_folder(start: str, count: int, seed: int) -> str:
    """Name of the folder of one run."""
    return f"{start}_k{count}_seed{seed}"


def write_comparison_report(
    folder: Path,
    table: Sequence[Sequence[str]],
    note: str,
    starts: Sequence[str],
    counts: Sequence[int],
    seeds: Sequence[int],
) -> Path:
    """Write `report.html` of a comparison, whole or not at all, and return its path.

    Args:
        folder: of the comparison: its `cases.csv`, and its runs with their `cases.csv`, drawings and `metrics.csv`,
            as far as they are there.
        table: the comparison's table, its heading first.
        note: what the table shows.
        starts: names of the starts, that of the comparison last.
        counts: numbers of labelled patients.
        seeds: of the runs.
    """
    report = Report("Few labels: with and without pre-training", "Research software: not for diagnosis or treatment.")
    report.table(table[0], table[1:], note)
    _dice_by_labels(report, read_table(folder / "cases.csv"), starts)
    _by_class(report, folder, starts, counts, seeds)
    most = max(counts)
    for start in starts:
        run = folder / run_folder(start, most, seeds[0])
        if (run / "cases.csv").is_file():
            report.heading(f"{start}, {most} labelled patients, seed {seeds[0]}")
            add_cases(report, run)
    _losses(report, folder, starts, most, seeds[0])
    return report.write(folder / "report.html")


def _dice_by_labels(report: Report, rows: Sequence[Row], starts: Sequence[str]) -> None:
    lines = {}
    for start in starts:
        dice: dict[int, list[float]] = {}
        for row in rows:
            if row["start"] == start and row["dice"] not in ("", "nan"):
                dice.setdefault(int(row["labelled patients"]), []).append(float(row["dice"]))
        if dice:
            counts = sorted(dice)
            lines[start] = np.array(counts, float), np.array([np.mean(dice[count]) for count in counts])
    if lines:
        report.curves(lines, "labelled patients", "mean Dice", "Mean over test patients, classes and seeds.")


def _by_class(report: Report, folder: Path, starts: Sequence[str], counts: Sequence[int], seeds: Sequence[int]) -> None:
    """Dice, distances and volumes of each class, by start and number of labels."""
    rows, unit = [], "mm"
    for count in counts:
        for start in starts:
            paths = [folder / run_folder(start, count, seed) / "cases.csv" for seed in seeds]
            cases = [row for path in paths if path.is_file() for row in read_table(path)]
            unit = cases[0]["unit"] if cases else unit
            for name in dict.fromkeys(map(class_name, cases)):
                rows.append((name, count, start, *means_of_class(cases, name)[1:]))
    if rows:
        rows.sort(key=lambda row: int(row[0].split()[0]))
        caption = f"Means over test patients and seeds, of those that have a value. {DISTANCES}"
        report.heading("By class")
        report.table(("class", "labelled", "start", *measured_in(unit)), rows, caption)


def _losses(report: Report, folder: Path, starts: Sequence[str], count: int, seed: int) -> None:
    lines = {}
    for start in starts:
        path = folder / run_folder(start, count, seed) / "runs" / "finetune" / "metrics.csv"
        if path.is_file() and "loss" in (curves := read_curves(path)):
            lines[start] = curves["loss"]
    if lines:
        caption = f"Training with {count} labelled patients, seed {seed}."
        report.heading("Training")
        report.curves(lines, "epoch", "loss", caption, log_y=all((values > 0).all() for _, values in lines.values()))
