"""92 frontal chest X-rays of the COVID-19 collection of Cohen et al., with masks and two readers' severity scores."""

from pathlib import Path
from typing import Any

from medgenesis.datasets.checked_files import checked_files
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, by_patient
from medgenesis.datasets.tables import number_of_row, rows_of_table

CLASSES = ("Brixia below 8", "Brixia 8 or more")
_SEVERE = 8  # of 18, global: the threshold that Borghesi et al. (2020) found for outcome
_READERS = {"senior": "brixia_senior_Global", "junior": "brixia_junior_Global"}


def cxr_cohen_datalist(
    root: str | Path, *, splits=SPLITS, seed: int = 0, reader: str = "senior", name: str = "cxr_cohen_radiologist"
) -> dict[str, Any]:
    """A datalist of `index.csv`: the class is whether a reader's global Brixia score is 8 or more; images without a
    score have no class. `label` is the mask of both lungs where there is one, `scores` has both readers'.

    Args:
        root: folder with `index.csv`, `images` and `lungs_v7`.
        splits: shares of the patients for training, validation and test.
        seed: of the split.
        reader: whose score is the class, "senior" or "junior".
        name: of the list.

    Raises:
        DatalistError: no table, a column or image absent, or a score that is no number, with its row.
    """
    root, table = Path(root), Path(root, "index.csv")
    records = []
    for number, row in enumerate(rows_of_table(table, "file", "patient", "lungs_v7", *_READERS.values()), 2):
        record: dict[str, Any] = {
            "image": str(root / "images" / row["file"]),
            "patient": row["patient"],
            "intensity": "xray",
        }
        if row["lungs_v7"] == "1":
            record["label"] = str(root / "lungs_v7" / row["file"])
        record["scores"] = {
            who: number_of_row(row[column], column, table, number)
            for who, column in _READERS.items()
            if row[column].strip()
        }
        if reader in record["scores"]:
            record["class"] = int(record["scores"][reader] >= _SEVERE)
        records.append(record)
    header = {"name": name, "modality": {"0": "X-ray"}, "class_names": list(CLASSES), "labels": {"1": "lungs"}}
    return by_patient(checked_files(records, root), header, splits, seed)


DATASET = PublishedDataset(
    name="cxr_cohen_radiologist",
    title="92 frontal chest X-rays of 65 patients; severity by two readers, masks of lungs",
    holds="index.csv, images and lungs_v7",
    source="https://github.com/ieee8023/covid-chestxray-dataset (mostly CC BY-NC-SA: experiments alone)",
    datalist=cxr_cohen_datalist,
)
