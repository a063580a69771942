"""BACH: 400 microscopy images of breast tissue in four classes (ICIAR 2018)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, split_as
from medgenesis.datasets.tables import class_of_row, rows_of_table

CLASSES = ("Normal", "Benign", "InSitu", "Invasive")
_FOLDER = "ICIAR2018_BACH_Challenge/Photos"


def bach_datalist(
    root: str | Path, *, split: str = "patient", splits: Sequence[float] = SPLITS, seed: int = 0, name: str = "bach"
) -> dict[str, Any]:
    """A datalist of `microscopy_ground_truth.csv`, which has no heading: file, class. Patients are not published: each
    image counts as one.

    Args:
        root: folder with `ICIAR2018_BACH_Challenge/Photos`.
        split: "patient" or "reference", see `split_as`.
        splits: see `split_as`.
        seed: see `split_as`.
        name: of the list.

    Raises:
        DatalistError: no table, files absent, or an unknown class with its row.
    """
    photos = Path(root, _FOLDER)
    table = photos / "microscopy_ground_truth.csv"
    records: list[dict | None] = []
    for number, row in enumerate(rows_of_table(table, "file", "class", heading=False), 1):
        label, file = class_of_row(row["class"], CLASSES, table, number), row["file"].strip()
        image = str(photos / CLASSES[label] / file)
        records.append({"image": image, "class": label, "patient": file, "intensity": "xray", "colour": True})
    header = {"name": name, "modality": {"0": "microscopy"}, "class_names": list(CLASSES)}
    return split_as(split, records, Path(root), header, splits=splits, seed=seed)


DATASET = PublishedDataset(
    name="bach",
    title="BACH: 400 microscopy images of breast tissue, four classes",
    holds="ICIAR2018_BACH_Challenge/Photos with microscopy_ground_truth.csv and a folder for each class",
    source="https://iciar2018-challenge.grand-challenge.org (CC BY-NC-ND 4.0)",
    datalist=bach_datalist,
)
