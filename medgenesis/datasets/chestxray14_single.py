"""ChestX-ray14 as the transfer study has it: images of exactly one of seven findings, which is the class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.patients import patient_of
from medgenesis.datasets.chestxray14 import FINDINGS
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, split_as
from medgenesis.datasets.tables import rows_of_table
from medgenesis.errors import DatalistError

CLASSES = ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumothorax")


def chestxray14_single_datalist(
    root: str | Path,
    *,
    split: str = "patient",
    splits: Sequence[float] = SPLITS,
    seed: int = 0,
    name: str = "chestxray14_single",
) -> dict[str, Any]:
    """A datalist of the rows of `Data_Entry_2017.csv` with exactly one finding, of the seven; others are left out,
    which is said with their number.

    Args:
        root: folder with the table and `images`.
        split: "patient" or "reference", which has patients on both sides.
        splits: see `split_as`.
        seed: see `split_as`.
        name: of the list.

    Raises:
        DatalistError: no table, a column or image absent, or an unknown finding with its row.
    """
    root, table = Path(root), Path(root, "Data_Entry_2017.csv")
    records: list[dict | None] = []
    for number, row in enumerate(rows_of_table(table, "Image Index", "Finding Labels"), 2):
        named = row["Finding Labels"].split("|")
        if unknown := [one for one in named if one not in (*FINDINGS, "No Finding")]:
            raise DatalistError(
                f"{table}, row {number}: must name some of the 14 findings; found {unknown[0]!r}. Give NIH's table."
            )
        file = row["Image Index"]
        kept = len(named) == 1 and named[0] in CLASSES
        record = {"image": str(root / "images" / file), "patient": patient_of(Path(file).stem), "intensity": "xray"}
        records.append({**record, "class": CLASSES.index(named[0])} if kept else None)
    header = {"name": name, "modality": {"0": "X-ray"}, "class_names": list(CLASSES)}
    why = "no finding, several, or none of the seven"
    return split_as(split, records, root, header, splits=splits, seed=seed, left_out=why)


DATASET = PublishedDataset(
    name="chestxray14_single",
    title="ChestX-ray14 as the transfer study has it: one finding an image, seven classes",
    holds="Data_Entry_2017.csv, and images (all twelve archives together)",
    source="https://nihcc.app.box.com/v/ChestXray-NIHCC (NIH Clinical Center; see its terms)",
    datalist=chestxray14_single_datalist,
)
