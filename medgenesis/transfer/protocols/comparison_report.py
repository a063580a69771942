"""The page of a comparison, made of what it and its runs have recorded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medgenesis.report import Report, read_curves
from medgenesis.report.run_made import add_run_record
from medgenesis.report.run_report import DISTANCES, add_cases, class_name, means_of_class, measured_in
from medgenesis.storage.tables import read_table

Row = Mapping[str, str]


def run_folder(start: str, count: int, steps: int, seed: int) -> str:
    """Name of the folder of one run."""
    return f"{start}_k{count}_n{steps}_seed{seed}"


def write_comparison_report(
    folder: Path,
    said: Sequence[str],
    table: Sequence[Sequence[str]],
    note: str,
    trivial: Sequence[Sequence[str]],
    means: Mapping[tuple[int, int, str], np.ndarray],
    seeds: Sequence[int],
) -> Path:
    """Write `report.html` of a comparison, whole or not at all, and return its path.

    Args:
        folder: of the comparison: its runs with their `cases.csv`, drawings and `metrics.csv`, as far as they are
            there.
        said: what was found, in sentences.
        table: the comparison's table, its heading first.
        note: what the table shows.
        trivial: labelled patients and Dice of the answer that looks at no image.
        means: Dice (draws, patients) of each number of labelled patients, of steps, and start.
        seeds: of the runs.
    """
    counts, steps, starts = (list(dict.fromkeys(values)) for values in zip(*means, strict=True))
    report = Report("Few labels: with and without pre-training", "Research software: not for diagnosis or treatment.")
    for sentence in said:
        report.paragraph(sentence)
    report.table(table[0], table[1:], note)
    caption = "The answer that looks at no image: where the labelled label maps have each class (64 voxels a side)."
    report.table(("labelled patients", "Dice"), trivial, caption)
    longest, most = max(steps), max(counts)
    by_labels = {(n, start): means[n, longest, start] for n in counts for start in starts}
    _dice_over(report, by_labels, "labelled patients", f"{longest} steps")
    for count in counts if len(steps) > 1 else ():
        by_steps = {(n, start): means[count, n, start] for n in steps for start in starts}
        _dice_over(report, by_steps, "steps", f"labelled patients: {count}")
    runs = {
        (count, start): [folder / run_folder(start, count, longest, seed) for seed in seeds]
        for count in counts
        for start in starts
    }
    _by_class(report, runs, longest)
    for start in starts:
        run = runs[most, start][0]
        if (run / "cases.csv").is_file():
            report.heading(f"{start}, {most} labelled patients, {longest} steps, seed {seeds[0]}")
            add_cases(report, run)
    _losses(report, {start: runs[most, start][0] for start in starts}, most, seeds[0])
    add_run_record(report, folder)
    return report.write(folder / "report.html")


def _dice_over(report: Report, means: Mapping[tuple[int, str], np.ndarray], axis: str, fixed: str) -> None:
    """A line a start, over the numbers of an axis; `fixed` is what does not change along it."""
    lines = {}
    for start in dict.fromkeys(start for _, start in means):
        places = sorted(place for place, one in means if one == start)
        lines[start] = np.array(places, float), np.array([means[place, start].mean() for place in places])
    report.curves(lines, axis, "mean Dice", f"Mean over test patients, classes and draws; {fixed}.")


def _by_class(report: Report, runs: Mapping[tuple[int, str], Sequence[Path]], steps: int) -> None:
    """Dice, distances and volumes of each class, by start and number of labels."""
    rows, unit = [], "mm"
    for (count, start), folders in runs.items():
        cases = [row for run in folders if (run / "cases.csv").is_file() for row in read_table(run / "cases.csv")]
        unit = cases[0]["unit"] if cases else unit
        for name in dict.fromkeys(map(class_name, cases)):
            rows.append((name, count, start, *means_of_class(cases, name)[1:]))
    if rows:
        rows.sort(key=lambda row: int(row[0].split()[0]))
        caption = f"Means over test patients and draws, of those that have a value; {steps} steps. {DISTANCES}"
        report.heading("By class")
        report.table(("class", "labelled", "start", *measured_in(unit)), rows, caption)


def _losses(report: Report, runs: Mapping[str, Path], count: int, seed: int) -> None:
    lines = {}
    for start, run in runs.items():
        path = run / "runs" / "finetune" / "metrics.csv"
        if path.is_file() and "loss" in (curves := read_curves(path)):
            lines[start] = curves["loss"]
    if lines:
        caption = f"Training with {count} labelled patients, seed {seed}."
        report.heading("Training")
        report.curves(lines, "epoch", "loss", caption, log_y=all((values > 0).all() for _, values in lines.values()))
