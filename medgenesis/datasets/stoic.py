"""STOIC 2021: 2 000 chest CT, with COVID-19 or without."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, split_as
from medgenesis.datasets.tables import class_of_row, rows_of_table

CLASSES = ("no COVID-19", "COVID-19")


def stoic_datalist(
    root: str | Path, *, split: str = "patient", splits: Sequence[float] = SPLITS, seed: int = 0, name: str = "stoic"
) -> dict[str, Any]:
    """A datalist of `metadata/reference.csv`, of whole volumes: a 2D encoder sees them as slabs, where the study took
    the middle slice alone (-1000 to 250 HU), so that its figures do not compare.

    Args:
        root: folder with `metadata` and `data/mha`.
        split: "patient" or "reference", see `split_as`.
        splits: see `split_as`.
        seed: see `split_as`.
        name: of the list.

    Raises:
        DatalistError: no table, a column or scan absent, or another class with its row.
    """
    root, table = Path(root), Path(root, "metadata", "reference.csv")
    records: list[dict | None] = [
        {
            "image": str(root / "data" / "mha" / f"{row['PatientID']}.mha"),
            "class": class_of_row(row["probCOVID"], ("0", "1"), table, number),
            "patient": row["PatientID"],
            "intensity": {"preset": "custom", "a_min": -1000, "a_max": 250},
        }
        for number, row in enumerate(rows_of_table(table, "PatientID", "probCOVID"), 2)
    ]
    header = {"name": name, "modality": {"0": "CT"}, "class_names": list(CLASSES)}
    return split_as(split, records, root, header, splits=splits, seed=seed)


DATASET = PublishedDataset(
    name="stoic",
    title="STOIC 2021: 2 000 chest CT, COVID-19 or not",
    holds="metadata/reference.csv and data/mha",
    source="https://registry.opendata.aws/stoic2021-training (CC BY-NC 4.0)",
    datalist=stoic_datalist,
)
