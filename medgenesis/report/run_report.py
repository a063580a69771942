"""The page of a run, made of what the run has recorded in its folder: the same whenever it is made."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from medgenesis.report.case_summary import MEASURES
from medgenesis.report.document import Report
from medgenesis.report.metrics import read_curves
from medgenesis.report.run_made import add_run_record, add_warning_of_weights
from medgenesis.report.text import interval_text
from medgenesis.storage.tables import read_table

CASE_COLUMNS = (
    *(
        "case",
        "class",
        "dice",
        "surface_dice",
        "hausdorff_95",
        "surface_distance",
        "unit",
        "found_ml",
        "reference_ml",
        "name",
    ),
)  # of cases.csv; distances in mm, of 2D images in pixels, which have no volume
DISTANCES = (
    "Surface Dice: share of both surfaces within 2 mm (2D images: pixels) of the other. HD95: 95th percentile of the "
    "Hausdorff distance; surface: mean surface distance, both ways."
)
WORST = 6  # cases that are drawn
_LISTED = 30  # rows of a table of cases
_NO_CURVE = ("iteration", "seconds", "cubes_per_second")
_SHARES = ("dice", "auc", "accuracy", "probe", "spread", "pruned")  # from 0 to 1: not on a logarithmic axis

Row = Mapping[str, str]
Points = tuple[np.ndarray, np.ndarray]  # epochs, values


def write_run_report(folder: str | Path, title: str = "Training") -> Path | None:
    """Write `report.html` of a run, whole or not at all, and return its path; None where nothing is recorded yet.

    Args:
        folder: of the run. What is there is shown: `cases.csv` and `cases/*.png` (of `SegmentationCases`), `auc.csv`
            and `predictions.csv`, `metrics.csv`, `images/epoch_*.png`, `restoration.csv`.
        title: heading of the page.
    """
    folder = Path(folder)
    if not any((folder / name).is_file() for name in ("metrics.csv", "cases.csv", "auc.csv")):
        return None
    report = Report(title, "Research software: not for diagnosis or treatment.")
    add_warning_of_weights(report, folder)
    add_cases(report, folder)
    _classes(report, folder)
    _curves(report, folder / "metrics.csv")
    _images(report, folder)
    _restoration(report, folder / "restoration.csv")
    add_run_record(report, folder)
    return report.write(folder / "report.html")


def add_cases(report: Report, folder: Path) -> None:
    """The drawings and tables of `cases.csv`, the worst case first."""
    rows = read_table(folder / "cases.csv") if (folder / "cases.csv").is_file() else []
    if not rows:
        return
    dice = mean_dice(rows)
    order = sorted(dice, key=lambda case: (dice[case], int(case)))
    measures = measured_in(rows[0]["unit"])
    report.heading(f"Cases, the worst first: {len(order)}")
    drawn = [(case, folder / "cases" / f"case_{int(case):04d}.png") for case in order]
    gallery = [
        (np.asarray(Image.open(path).convert("RGB")), f"case {case}: mean Dice {dice[case]:.3f}")
        for case, path in drawn
        if path.is_file()
    ]
    if gallery:
        report.gallery(gallery)
        report.paragraph("Coloured: found. Yellow line: reference. R and A: the patient's right and front.")
    _viewer(report, folder / "cases", order[0], dict.fromkeys(map(class_name, rows)))
    report.table(
        ("class", "cases", *measures),
        [(name, *means_of_class(rows, name)) for name in dict.fromkeys(map(class_name, rows))],
        f"Means by class, of the cases that have a value. {DISTANCES}",
    )
    _summary(report, folder / "summary.csv")
    listed = [row for case in order for row in rows if row["case"] == case][:_LISTED]
    report.table(
        ("case", "class", *measures),
        [(int(row["case"]), class_name(row), *_readable([*map(_number, _measured(row))])) for row in listed],
        f"Cases by their number in the section, the worst first ({len(listed)} of {len(rows)} rows; all: cases.csv). "
        "A dash: the class is absent from one of the two.",
    )


def _viewer(report: Report, folder: Path, case: str, names: Iterable[str]) -> None:
    """The worst case to scroll through, where it is a volume."""
    files = {name: folder / f"worst_{name}.nii.gz" for name in ("image", "found", "reference")}
    if not all(file.is_file() for file in files.values()):
        return
    image, *maps = (nib.load(file) for file in files.values())
    labels = {name: np.asarray(one.dataobj) for name, one in zip(("found", "reference"), maps, strict=True)}
    caption = f"case {case}, the worst: found, and the reference fainter"
    report.viewer(np.asarray(image.dataobj) / 255, image.affine, labels, caption, list(names))


def class_name(row: Row) -> str:
    """The number of a row's class, with its name where it has one."""
    return f"{row['class']} {row.get('name') or ''}".strip()


def mean_dice(rows: Sequence[Mapping[str, Any]]) -> dict[Any, float]:
    """Of each case over its classes; a case without any class counts as right."""
    values: dict[Any, list[float]] = {}
    for row in rows:
        values.setdefault(row["case"], []).extend([] if row["dice"] in ("", None) else [float(row["dice"])])
    return {case: float(np.mean(found)) if found else 1.0 for case, found in values.items()}


def _measured(row: Row) -> list[str]:
    return [row.get(name) or "" for name in (*MEASURES, "found_ml", "reference_ml")]


def measured_in(unit: str) -> tuple[str, ...]:
    """Headings of the measures of a case; distances in mm or pixels."""
    return "Dice", "surface Dice", f"HD95, {unit}", f"surface, {unit}", "found, mL", "reference, mL"


def means_of_class(rows: Sequence[Row], name: str) -> tuple:
    """Number of a class's cases, and the means of their measures, of those that have a value."""
    own = [row for row in rows if class_name(row) == name]
    columns = ([float(value) for value in column if value] for column in zip(*map(_measured, own), strict=True))
    return len(own), *_readable([float(np.mean(column)) if column else None for column in columns])


def _readable(measured: Sequence[float | None]) -> list[str | None]:
    """Dice to a thousandth; mm, pixels and mL to a tenth."""
    forms = (".3f", ".3f", ".1f", ".1f", ".1f", ".1f")
    return [None if value is None else f"{value:{form}}" for value, form in zip(measured, forms, strict=True)]


def _number(text: str) -> float | None:
    return float(text) if text else None


def _classes(report: Report, folder: Path) -> None:
    """The AUC of each class, and the records that are answered worst."""
    if not (folder / "auc.csv").is_file():
        return
    report.heading("Classification")
    classes = read_table(folder / "auc.csv")
    rows = [(row["class"], int(row["records"]), int(row["with"]), _interval(row, "auc")) for row in classes]
    caption = "Area under the ROC curve [95 % interval over patients]"
    report.table(("class", "records", "of the class", "AUC"), rows, caption)
    rows = read_table(folder / "predictions.csv") if (folder / "predictions.csv").is_file() else []
    wrong = sorted((row for row in rows if row.get("error")), key=lambda row: -float(row["error"]))[:_LISTED]
    if wrong:
        names = [name for name in wrong[0] if name.startswith(("record", "truth", "p_"))]
        body = [[_number(row[name]) if name.startswith("p_") else row[name] for name in names] for row in wrong]
        report.table(names, body, f"Answers, the worst first ({len(wrong)} of {len(rows)}; all: predictions.csv)")


def _summary(report: Report, path: Path) -> None:
    """Means with their intervals: of each class, and over the classes of a case."""
    rows = read_table(path) if path.is_file() else []
    if not rows:
        return
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        form = ".3f" if row["measure"] in MEASURES[:2] else ".1f"
        cells.setdefault(class_name(row), {})[row["measure"]] = _interval(row, "mean", form)
    most = max(int(row["patients"]) for row in rows)
    report.table(
        ("class", *measured_in(next((row["unit"] for row in rows if row["unit"]), "mm"))[: len(MEASURES)]),
        [(name, *(found.get(measure) for measure in MEASURES)) for name, found in cells.items()],
        f"Mean [95 % interval over {most} patients]; all: the mean of a case's classes (summary.csv)",
    )


def _interval(row: Row, name: str, form: str = ".3f") -> str | None:
    value, low, high = (float(row[one]) if row[one] else None for one in (name, "low", "high"))
    return None if value is None else interval_text(value, low, high, form)


def _curves(report: Report, path: Path) -> None:
    curves = {name: points for name, points in _recorded(path).items() if name not in _NO_CURVE}
    if not curves:
        return
    report.heading("Training")
    last = max(epochs.max() for epochs, _ in curves.values())
    report.paragraph(f"{last:.0f} epochs.")
    losses = {_section(name): points for name, points in curves.items() if _base(name) == "loss"}
    bases = sorted(dict.fromkeys(map(_base, curves)), key=lambda base: (base == "learning rate", base != "loss"))
    for base in bases:
        lines = {}
        for name, points in curves.items():
            if _base(name) == base and np.isfinite(points[1]).any():
                lines[_section(name)] = points
        if base != "loss" and all(_same(lines.get(name), points) for name, points in losses.items()):
            continue  # of one part alone, which is the loss
        if lines:
            share = any(word in base for word in _SHARES)
            every = np.concatenate([values[np.isfinite(values)] for _, values in lines.values()])
            log = not share and bool(every.min() > 0) and every.max() > 4 * every.min()
            report.curves(lines, "epoch", base, f"{base} by epoch.", log_y=log)


def _recorded(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return read_curves(path) if path.is_file() else {}


def _same(one: Points | None, other: Points) -> bool:
    return one is not None and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _section(name: str) -> str:
    return "validation" if name.startswith("val_") else "training"


def _base(name: str) -> str:
    return name.removeprefix("val_").removeprefix("train_").replace("_", " ")


def _images(report: Report, folder: Path) -> None:
    drawings = sorted((folder / "images").glob("epoch_*.png"))
    if drawings:
        ends = dict.fromkeys((drawings[0], drawings[-1]))
        gallery = [(np.asarray(Image.open(path)), f"epoch {int(path.stem.split('_')[-1])}") for path in ends]
        report.heading("The pretext task, first and last epoch")
        report.paragraph("Middle slices of validation samples: original, corrupted, restored; or two views.")
        report.gallery(gallery, scale=2)


def _restoration(report: Report, path: Path) -> None:
    if path.is_file():
        rows = read_table(path)
        caption = "Held-out samples: the network against answers that need no network"
        report.heading("Restoration")
        report.table(list(rows[0]), [list(row.values()) for row in rows], caption)
