"""The demonstration's `report.html`."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from medgenesis.data import load_datalist, preprocessing
from medgenesis.demo.layout import ORGANS, SPACING_MM, Demo
from medgenesis.report import Report, read_curves, three_planes
from medgenesis.report.run_made import add_run_record
from medgenesis.storage.tables import read_table

SHOWN = 3  # test subjects in the gallery


def write_report(demo: Demo) -> Path:
    """Write `report.html` (self-contained) into the demonstration's folder and return its path."""
    report = Report(
        "medgenesis: the first complete path", "learn from unlabelled CT, fine-tune on a few labels, segment"
    )
    source = "computed phantoms" if demo.scans is None else "the scans given"
    report.paragraph(
        f"Pre-trained on {source}, fine-tuned on phantoms. Research software: not for diagnosis or treatment."
    )
    if demo.discovers:
        _patterns(report, demo)
    _pretraining(report, demo)
    _segmentation(report, demo)
    report.heading("Time")
    report.table(["step", "seconds"], [(name, f"{seconds:.0f}") for name, seconds in demo.seconds.items()], "This run")
    report.heading("The same by hand")
    report.paragraph("In this folder, on the lists that lie here:")
    report.code(_commands(demo))
    for name in ("pretrain", "finetune"):
        add_run_record(report, demo.bundle / "runs" / name, f"What made the run of {name}")
    return report.write(demo.folder / "report.html")


def _patterns(report: Report, demo: Demo) -> None:
    report.heading("Discovery: anatomical patterns")
    sheet = np.asarray(Image.open(demo.patterns / "contact_sheet.png").convert("RGB"))
    report.gallery([(sheet, "a row a pattern, a column a patient: each row should show one part of the body")])
    similarity = json.loads((demo.patterns / "similarity.json").read_text())
    names = ("within", "between", "other_patients", "random_coordinates")
    rows = [
        (section, *(_number(numbers[name]) for name in names)) for section, numbers in similarity.items() if numbers
    ]
    header = ["section", "within a pattern", "between patterns", "same places, other patients", "places at random"]
    report.table(header, rows, "Correlation of cubes of different patients")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _pretraining(report: Report, demo: Demo) -> None:
    run = demo.bundle / "runs" / "pretrain"
    report.heading("Pre-training: restore the corrupted cube")
    drawings = sorted((run / "images").glob("epoch_*.png"))
    shown = {"first epoch": drawings[0], "last epoch": drawings[-1]}
    gallery = [(np.asarray(Image.open(path)), f"{name}: original, corrupted, restored") for name, path in shown.items()]
    report.gallery(gallery, scale=2)
    curves = read_curves(run / "metrics.csv")
    lines = {"training": curves["restoration"], "validation": curves["val_restoration"]}
    report.curves(lines, "epoch", "mean squared error", "Restoration loss", log_y=True)
    if demo.discovers:
        lines = {"training": curves["accuracy"], "validation": curves["val_accuracy"]}
        report.curves(lines, "epoch", "share of right patterns", "Classification of the patterns")
    rows = read_table(run / "restoration.csv")
    report.table(
        list(rows[0]),
        [list(row.values()) for row in rows],
        "Held-out cubes: the network against three answers that need no network",
    )


def _segmentation(report: Report, demo: Demo) -> None:
    test = load_datalist(demo.few_labels_list, "test")
    labelled = sum(len(load_datalist(demo.few_labels_list, section)) for section in ("training", "validation"))
    report.heading("Segmentation of unseen subjects")
    report.paragraph(
        f"Fine-tuned on {labelled} labelled subjects (one of them chose the checkpoint); "
        f"{len(test)} test subjects, seen neither in pre-training nor in fine-tuning."
    )
    names = [name for name, _ in ORGANS.values()]
    rows = [(f"subject {i + 1}", *(f"{d:.3f}" for d in row)) for i, row in enumerate(demo.dice)]
    rows.append((f"mean of {len(test)}", *(f"{d:.3f}" for d in demo.dice.mean(axis=0))))
    report.table(["Dice", *names], rows, "Dice on the input's own grid")
    report.gallery([(_overlay(demo, record), f"subject {i + 1}") for i, record in enumerate(test[:SHOWN])])
    report.paragraph("Coloured: found. Yellow line: reference.")


def _overlay(demo: Demo, record: dict) -> np.ndarray:
    image = preprocessing(intensity="ct")({"image": record["image"]})["image"]
    found = _on_standard_grid(demo.segmentation_of(record))
    truth = _on_standard_grid(record["label"])
    merged = np.zeros_like(truth)
    for value, (_, own) in ORGANS.items():
        merged[np.isin(truth, own)] = value
    spacing = tuple(float(s) for s in image.pixdim)
    return three_planes(np.asarray(image[0]), found, merged, spacing_mm=spacing, longest=160, positions=True)


def _on_standard_grid(path: str | Path) -> np.ndarray:
    image = nib.load(path)
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt("LPS"))
    return np.asarray(image.as_reoriented(turn).dataobj).astype(np.uint8)


def _commands(demo: Demo) -> str:
    """The bundle's commands, to be typed in the demonstration's folder, on the lists that lie there."""
    steps = {"pretrain": demo.pretraining_list, "finetune": demo.few_labels_list, "inference": demo.few_labels_list}
    if demo.discovers:  # then pre-training takes the patterns
        steps = {"mine": demo.pretraining_list, **steps, "pretrain": None}
    return "\n".join(
        f"python -m monai.bundle run --config_file \"['bundle/configs/{name}.yaml','bundle/configs/quick.yaml']\""
        + (f' --spacing_mm "{SPACING_MM}"' if name in ("mine", "pretrain") else "")
        + ("" if datalist is None else f" --datalist {datalist.relative_to(demo.folder)}")
        for name, datalist in steps.items()
    )
