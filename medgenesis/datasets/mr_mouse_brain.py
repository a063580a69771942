"""33 in-vivo MR of mouse brains with 38 structures, of two groups of animals."""

from pathlib import Path
from typing import Any

from medgenesis.datasets.checked_files import checked_files
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import by_patient
from medgenesis.datasets.tables import class_of_row, rows_of_table

CLASSES = ("FVB_NCrl", "rTg4510")


def mr_mouse_brain_datalist(
    root: str | Path, *, splits=(0.5, 0.2, 0.3), seed: int = 0, name: str = "mr_mouse_brain"
) -> dict[str, Any]:
    """A datalist of `index.csv`, split by animal; the class is the group of animals, `label` the structures.

    Args:
        root: folder with `index.csv`, `labels.csv`, `images` and `labels`.
        splits: shares of the animals for training, validation and test.
        seed: of the split.
        name: of the list.

    Raises:
        DatalistError: no table, a column or image absent, or another group with its row.
    """
    root, table = Path(root), Path(root, "index.csv")
    records = [
        {
            "image": str(root / "images" / row["file"]),
            "label": str(root / "labels" / row["file"]),
            "class": class_of_row(row["group"], CLASSES, table, number),
            "patient": row["file"].removesuffix(".nii.gz"),
            "intensity": "mri_percentile",
        }
        for number, row in enumerate(rows_of_table(table, "file", "group"), 2)
    ]
    structures = rows_of_table(root / "labels.csv", "label", "structure_name")
    names = {row["label"]: row["structure_name"] for row in structures if row["label"] != "0"}
    header = {"name": name, "modality": {"0": "MR"}, "class_names": list(CLASSES), "labels": names}
    return by_patient(checked_files(records, root), header, splits, seed)


DATASET = PublishedDataset(
    name="mr_mouse_brain",
    title="33 MR of mouse brains, 38 structures; two groups of animals",
    holds="index.csv, labels.csv, images and labels",
    source="https://github.com/dama-lab/mouse-brain-atlas (GPL-3.0)",
    datalist=mr_mouse_brain_datalist,
)
