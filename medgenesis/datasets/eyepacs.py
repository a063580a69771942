"""EyePACS (Kaggle, 2015): 88 702 photographs of the fundus, both eyes of each patient, five grades of retinopathy."""

from pathlib import Path
from typing import Any

from medgenesis.data.splits import split_patients
from medgenesis.datasets.checked_files import checked_files
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.tables import class_of_row, rows_of_table

CLASSES = ("0", "1", "2", "3", "4")


def eyepacs_datalist(
    root: str | Path, *, validation: float = 0.2, seed: int = 0, name: str = "eyepacs"
) -> dict[str, Any]:
    """A datalist with the official training and test section, which have different patients.

    Args:
        root: folder with `train`, `test`, `trainLabels.csv` and `testLabels.csv`.
        validation: share of the training patients for the validation section.
        seed: of that draw.
        name: of the list.

    Returns:
        Records with `class` (the grade), `patient` (what the name begins with) and `view` (left, right).

    Raises:
        DatalistError: a table, a column or an image absent, or another grade with its row.
    """
    root, parts = Path(root), {}
    for part in ("train", "test"):
        table = root / f"{part}Labels.csv"
        parts[part] = [
            {
                "image": str(root / part / f"{row['image']}.jpeg"),
                "class": class_of_row(row["level"], CLASSES, table, number),
                "patient": row["image"].partition("_")[0],
                "view": row["image"].partition("_")[2],
                "intensity": "xray",
                "colour": True,
            }
            for number, row in enumerate(rows_of_table(table, "image", "level"), 2)
        ]
        checked_files(parts[part], root)
    section_of = split_patients((one["patient"] for one in parts["train"]), (1 - validation, validation, 0.0), seed)
    cut = {
        name: [one for one in parts["train"] if section_of[one["patient"]] == name] for name in set(section_of.values())
    }
    header = {"name": name, "modality": {"0": "fundus"}, "class_names": list(CLASSES), "patient_keys": ["file name"]}
    return {**header, "training": cut["training"], "validation": cut.get("validation", []), "test": parts["test"]}


DATASET = PublishedDataset(
    name="eyepacs",
    title="EyePACS: 88 702 fundus photographs, both eyes, five grades of retinopathy",
    holds="train, test, trainLabels.csv and testLabels.csv",
    source="https://www.kaggle.com/c/diabetic-retinopathy-detection (see its terms)",
    datalist=eyepacs_datalist,
)
