"""The page of a comparison, made of what it and its runs have recorded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medgenesis.report import Report, read_curves
from medgenesis.report.run_made import add_run_record
from medgenesis.report.run_report import DISTANCES, add_cases, class_name, means_of_class, measured_in
from medgenesis.storage.tables import read_table
from medgenesis.transfer.protocols.comparison_table import labelled_patients

Row = Mapping[str, str]


_FROZEN = "Frozen: a linear classifier of voxels on all maps of the network, of which nothing is learnt; no verdict."
_PLACE = "The answer that looks at no image: where the labelled label maps have each class (64 voxels a side)."


def run_folder(start: str, count: int, steps: int, seed: int) -> str:
    """Name of the folder of one run."""
    return f"{start}_k{count}_{f'n{steps}' if steps else 'frozen'}_seed{seed}"


def write_comparison_report(
    folder: Path,
    said: Sequence[str],
    tables: Sequence[Sequence[Sequence[str]]],
    note: str,
    means: Mapping[tuple[int, int, str], np.ndarray],
    places: Mapping[int, np.ndarray],
    seeds: Sequence[int],
) -> Path:
    """Write `report.html` of a comparison, whole or not at all, and return its path.

    Args:
        folder: of the comparison: its runs with their `cases.csv`, drawings and `metrics.csv`, as far as they are
            there.
        said: what was found, in sentences.
        tables: the comparison's table, that of frozen features where there is one, and that of the answer that looks at
            no image; their headings first.
        note: what the first table shows.
        means: Dice (sets of labelled patients, test patients) of each number of labelled patients, of steps (0:
            frozen), and start.
        places: likewise, of each number of labelled patients, of the answer that looks at no image.
        seeds: of the runs.
    """
    counts, lengths, starts = (list(dict.fromkeys(values)) for values in zip(*means, strict=True))
    steps, frozen = [one for one in lengths if one], 0 in lengths
    report = Report("Few labels: with and without pre-training", "Research software: not for diagnosis or treatment.")
    for sentence in said:
        report.paragraph(sentence)
    for table, caption in zip(tables, (note, *([_FROZEN] if frozen else []), _PLACE), strict=True):
        report.table(table[0], table[1:], caption)
    longest, most = max(steps), max(counts)
    by_labels = {(n, start): means[n, longest, start] for n in counts for start in starts}
    if frozen:
        by_labels |= {(n, f"{start}, frozen"): means[n, 0, start] for n in counts for start in starts}
    by_labels |= {(n, "no image"): found for n, found in places.items() if found.size}
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
            report.heading(f"{start}, {labelled_patients(most)}, {longest} steps, seed {seeds[0]}")
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
