"""CheXpert: 224 316 chest X-rays of 65 240 patients (Stanford); one finding is asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, split_as
from medgenesis.datasets.tables import rows_of_table
from medgenesis.errors import DatalistError

FINDINGS = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
UNCERTAIN = {"zeros": 0, "ones": 1, "ignore": None}
_TRAINING_ROWS, _ALL_ROWS = 134_049, 223_414  # of the study


def chexpert_datalist(
    root: str | Path,
    *,
    finding: str = "Pleural Effusion",
    uncertain: str = "zeros",
    split: str = "patient",
    splits: Sequence[float] = SPLITS,
    seed: int = 0,
    name: str = "chexpert",
) -> dict[str, Any]:
    """A datalist of `train.csv`: a finding that is marked 1 is 1; blank and 0 are 0.

    Args:
        root: folder with `CheXpert-v1.0`, and `train.csv` in it or beside it.
        finding: one of `FINDINGS`.
        uncertain: what -1 becomes: "zeros" (what the study's linear and fine-tuning figures are in truth), "ones" (its
            few-shot), or "ignore": such rows are left out, and counted in the log.
        split: "patient" or "reference": the first three fifths of the study's shuffled rows train.
        splits: see `split_as`.
        seed: see `split_as`.
        name: of the list.

    Raises:
        ValueError: another finding or use of -1.
        DatalistError: no table, a column or image absent, or another mark with its row.
    """
    if finding not in FINDINGS or uncertain not in UNCERTAIN:
        raise ValueError(
            f"finding, uncertain: must be one of {', '.join(FINDINGS)}, and of {', '.join(UNCERTAIN)}; found "
            f"{finding!r} and {uncertain!r}. Choose one of each."
        )
    root = Path(root)
    table = next((one for one in (root / "train.csv", root / "CheXpert-v1.0" / "train.csv") if one.is_file()), None)
    records: list[dict | None] = []
    rows = rows_of_table(table or root / "train.csv", "Path", "Frontal/Lateral", finding)
    marks = {"": 0, "0": 0, "0.0": 0, "1": 1, "1.0": 1, "-1": UNCERTAIN[uncertain], "-1.0": UNCERTAIN[uncertain]}
    for number, row in enumerate(rows, 2):
        if row[finding].strip() not in marks:
            raise DatalistError(
                f"{table}, row {number}: must be marked 1, 0, -1 or nothing; found {row[finding]!r}. "
                "Give Stanford's table."
            )
        label = marks[row[finding].strip()]
        patient = next((part for part in row["Path"].split("/") if part.startswith("patient")), row["Path"])
        record = {"image": str(root / row["Path"]), "class": label, "patient": patient, "intensity": "xray"}
        seen = {"view": row["Frontal/Lateral"], "study": row["Path"].rpartition("/")[0]}
        records.append(None if label is None else {**record, **seen})
    header = {"name": name, "modality": {"0": "X-ray"}, "class_names": [f"no {finding}", finding]}
    first = len(records) * _TRAINING_ROWS // _ALL_ROWS
    why = f"{finding} is marked -1 (uncertain=ignore)"
    return split_as(split, records, root, header, splits=splits, seed=seed, first=first, left_out=why)


DATASET = PublishedDataset(
    name="chexpert",
    title="CheXpert: 224 316 chest X-rays of 65 240 patients; one finding, two views",
    holds="CheXpert-v1.0 and train.csv",
    source="https://stanfordmlgroup.github.io/competitions/chexpert (Stanford; see its terms)",
    datalist=chexpert_datalist,
)
