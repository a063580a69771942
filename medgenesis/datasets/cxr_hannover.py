"""243 chest X-rays of 71 patients with COVID-19, several images a patient over time (Hannover Medical School)."""

from pathlib import Path
from typing import Any

from medgenesis.datasets.checked_files import checked_files
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, by_patient
from medgenesis.datasets.tables import class_of_row, rows_of_table

CLASSES = ("ap", "pa")


def cxr_hannover_datalist(
    root: str | Path, *, splits=SPLITS, seed: int = 0, name: str = "cxr_hannover"
) -> dict[str, Any]:
    """A datalist of `data.csv`. There are no findings: the class is the projection, AP (0) or PA (1).

    Args:
        root: folder with `data.csv` and `images`.
        splits: shares of the patients for training, validation and test.
        seed: of the split.
        name: of the list.

    Raises:
        DatalistError: no table, a column or image absent, or another projection with its row.
    """
    root, table = Path(root), Path(root, "data.csv")
    records = [
        {
            "image": str(root / "images" / f"{row['image_id']}.png"),
            "class": class_of_row(row["projection"].lower(), CLASSES, table, number),
            "patient": row["patient_id"],
            "intensity": "xray",
        }
        for number, row in enumerate(rows_of_table(table, "patient_id", "image_id", "projection"), 2)
    ]
    header = {"name": name, "modality": {"0": "X-ray"}, "class_names": list(CLASSES)}
    return by_patient(checked_files(records, root), header, splits, seed, by_class=False)  # a patient has both


DATASET = PublishedDataset(
    name="cxr_hannover",
    title="243 chest X-rays of 71 patients with COVID-19, up to 22 a patient; class: projection",
    holds="data.csv and images",
    source="https://doi.org/10.25835/0090041 (Winther et al., CC BY 3.0)",
    datalist=cxr_hannover_datalist,
)
