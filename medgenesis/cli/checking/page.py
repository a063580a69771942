"""The page of a checked list: tables, intensities, and a contact sheet of what will be learnt."""

from pathlib import Path

import numpy as np

from medgenesis.cli.checking.found import Found
from medgenesis.cli.checking.tables import all_tables
from medgenesis.data.survey import PERCENTILES
from medgenesis.report import Report

_CURVED = 2000  # records: more points say no more


def write_page(found: Found, path: Path) -> Path:
    """Write the page, which names records by section and number alone, and return its path."""
    usable, count = found.usable(), len(found.records)
    report = Report(f"{found.path.name}: what will be learnt", f"{len(usable)} of {count} records can be used")
    report.paragraph(f"Checked for: {found.settings.in_words()}.")
    report.paragraph("Records are named by their section and number; records.csv beside this page names their files.")
    for table in all_tables(found, named=False):
        report.table(table.headers, table.rows, table.caption)
    _intensities(report, found)
    for section in found.sections:
        drawn = [(i, found.surveyed[i].drawing) for i in found.of(section) if found.surveyed[i].drawing is not None]
        if drawn:
            report.heading(f"Contact sheet: {section}, {len(drawn)} of {len(found.of(section))}")
            report.gallery([(drawing, _caption(found, i)) for i, drawing in drawn], scale=1)
    axes = "R and A: the patient's right and front."
    if found.settings.plan is not None:
        axes = "Planes are those of nnU-Net's order of axes, whatever their names and letters say."
    report.paragraph(f"As prepared for the network. {axes} Coloured: labels.")
    return report.write(path)


def _intensities(report: Report, found: Found) -> None:
    usable = found.usable()[:_CURVED]
    if not usable:
        return
    values = np.array([found.surveyed[i].percentiles for i in usable])
    numbers = np.arange(1, len(usable) + 1, dtype=float)
    lines = {f"percentile {p}": (numbers, values[:, k]) for k, p in enumerate(PERCENTILES)}
    report.heading("Intensities after scaling")
    caption = (
        "Percentiles of each usable record, in the order of the list. One that leaves the others is to be looked at."
    )
    report.curves(lines, "record", "scaled intensity", caption)


def _caption(found: Found, i: int) -> str:
    one = found.surveyed[i]
    size = " x ".join(map(str, one.shape))
    spacing = f", {' x '.join(f'{mm:.3g}' for mm in one.spacing_mm)} mm" if one.spacing_mm else ""
    channels = f", {one.channels} channels" if one.channels > 1 else ""
    labels = [value for value in one.labels or () if value]
    held = "" if one.labels is None else f"; labels {', '.join(map(str, labels)) or 'none'}"
    return f"{found.name(i)}: {size}{spacing}{channels}{held}"
