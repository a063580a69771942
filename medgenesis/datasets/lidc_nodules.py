"""799 chest-CT crops round lung nodules of 436 patients of LIDC-IDRI: benign or malignant, with the diameter."""

from pathlib import Path
from typing import Any

from medgenesis.datasets.checked_files import checked_files
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, by_patient
from medgenesis.datasets.tables import class_of_row, number_of_row, rows_of_table

CLASSES = ("benign", "malignant")


def lidc_nodules_datalist(
    root: str | Path, *, splits=SPLITS, seed: int = 0, name: str = "ct_lidc_nodules"
) -> dict[str, Any]:
    """A datalist of `labels.csv`; `numbers` has the diameter, which alone tells much of the class.

    Args:
        root: folder with `labels.csv`, `images` and `masks`.
        splits: shares of the patients for training, validation and test.
        seed: of the split.
        name: of the list.

    Raises:
        DatalistError: no table, a column or image absent, or another class, or no diameter, with its row.
    """
    root, table = Path(root), Path(root, "labels.csv")
    records = []
    for number, row in enumerate(rows_of_table(table, "patient_id", "nodule_id", "diameter_mm", "Diagnosis_value"), 2):
        file = f"{row['patient_id']}_R_{row['nodule_id']}.nii.gz"
        records.append(
            {
                "image": str(root / "images" / file),
                "label": str(root / "masks" / file),
                "class": class_of_row(row["Diagnosis_value"], ("0", "1"), table, number),
                "patient": row["patient_id"],
                "intensity": "ct",
                "numbers": {"diameter_mm": number_of_row(row["diameter_mm"], "diameter_mm", table, number)},
            }
        )
    header = {"name": name, "modality": {"0": "CT"}, "class_names": list(CLASSES), "labels": {"1": "nodule"}}
    return by_patient(checked_files(records, root), header, splits, seed)


DATASET = PublishedDataset(
    name="ct_lidc_nodules",
    title="799 chest-CT crops round nodules of 436 patients: benign or malignant; diameter",
    holds="labels.csv, images and masks",
    source="https://github.com/PabloLION/ct-slicing (LIDC-IDRI, CC BY 3.0)",
    datalist=lidc_nodules_datalist,
)
