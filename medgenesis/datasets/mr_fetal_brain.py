"""33 averages of fetal brain MR, one a gestational week, of two atlases; eight tissues."""

import logging
from pathlib import Path
from typing import Any

from medgenesis.datasets.checked_files import checked_files
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.tables import class_of_row, number_of_row, rows_of_table

logger = logging.getLogger(__name__)

ATLASES = ("crl", "sba")
TISSUES = (
    *("white matter", "ventricles", "cerebellum", "extra-axial CSF"),
    *("cortical grey matter", "deep grey matter", "brainstem", "corpus callosum"),
)


def mr_fetal_brain_datalist(root: str | Path, *, name: str = "mr_fetal_brain") -> dict[str, Any]:
    """A datalist split by atlas, for neighbouring weeks of one copy each other: `crl` trains, but for its last three
    weeks (validation), `sba` (spina bifida) is the test. `numbers` has the week.

    Args:
        root: folder with `index.csv`, `images` and `labels`.
        name: of the list.

    Raises:
        DatalistError: no table, a column or image absent, or another atlas, or no week, with its row.
    """
    root, table = Path(root), Path(root, "index.csv")
    sections: dict[str, list[dict]] = {"training": [], "validation": [], "test": []}
    rows = rows_of_table(table, "file", "atlas", "weeks")
    weeks = [number_of_row(row["weeks"], "weeks", table, number) for number, row in enumerate(rows, 2)]
    last = sorted({week for week, row in zip(weeks, rows, strict=True) if row["atlas"].strip() == ATLASES[0]})[-3:]
    for number, (week, row) in enumerate(zip(weeks, rows, strict=True), 2):
        atlas = class_of_row(row["atlas"], ATLASES, table, number)
        record = {
            "image": str(root / "images" / row["file"]),
            "label": str(root / "labels" / row["file"]),
            "patient": row["file"].removesuffix(".nii.gz"),
            "intensity": "mri_percentile",
            "numbers": {"weeks": week},
        }
        sections["test" if atlas else "validation" if week in last else "training"].append(record)
    checked_files([record for records in sections.values() for record in records], root)
    labels = {str(index): tissue for index, tissue in enumerate(TISSUES, 1)}
    return {"name": name, "modality": {"0": "MR"}, "patient_keys": ["atlas and week"], "labels": labels, **sections}


DATASET = PublishedDataset(
    name="mr_fetal_brain",
    title="33 averages of fetal brain MR of two atlases, one a gestational week; eight tissues",
    holds="index.csv, images and labels",
    source="https://github.com/LucasFidon/trustworthy-ai-fetal-brain-segmentation (crl: non-commercial; sba: CC0)",
    datalist=mr_fetal_brain_datalist,
)
