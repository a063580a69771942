"""640 frontal chest X-rays of NIH ChestX-ray14, 256 pixels, with a table of patients and classes."""

from pathlib import Path
from typing import Any

from medgenesis.datasets.checked_files import checked_files
from medgenesis.datasets.cxr_nih import CLASSES
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, by_patient
from medgenesis.datasets.tables import class_of_row, rows_of_table


def cxr_nih_more_datalist(
    root: str | Path, *, splits=SPLITS, seed: int = 0, name: str = "cxr_nih_more"
) -> dict[str, Any]:
    """A datalist of `index.csv`: No_findings (0), Pneumonia (1).

    Args:
        root: folder with `index.csv` and `images`.
        splits: shares of the patients for training, validation and test.
        seed: of the split.
        name: of the list.

    Raises:
        DatalistError: no table, a column or image absent, or an unknown class with its row.
    """
    root, table = Path(root), Path(root, "index.csv")
    records = [
        {
            "image": str(root / "images" / row["file"]),
            "class": class_of_row(row["folder_of_source"], CLASSES, table, number),
            "patient": row["patient"],
            "intensity": "xray",
        }
        for number, row in enumerate(rows_of_table(table, "file", "patient", "folder_of_source"), 2)
    ]
    header = {"name": name, "modality": {"0": "X-ray"}, "class_names": list(CLASSES)}
    return by_patient(checked_files(records, root), header, splits, seed)


DATASET = PublishedDataset(
    name="cxr_nih_more",
    title="640 frontal chest X-rays of 468 patients of ChestX-ray14: no finding, or pneumonia",
    holds="index.csv and images",
    source="https://github.com/muhammedtalo/COVID-19 (NIH Clinical Center: free use, acknowledge)",
    datalist=cxr_nih_more_datalist,
)
