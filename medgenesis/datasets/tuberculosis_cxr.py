"""Chest X-rays of two places with the text of a reading: what Shenzhen and Montgomery have in common."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.datasets.study_split import SPLITS, split_as
from medgenesis.datasets.tables import rows_of_table
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)

CLASSES = ("normal", "abnormal")
_COLUMNS = ("file", "sex", "age", "reading")


def readings_datalist(
    root: str | Path,
    tables: Sequence[str],
    images: str,
    name: str,
    *,
    split: str = "patient",
    splits: Sequence[float] = SPLITS,
    seed: int = 0,
) -> dict[str, Any]:
    """A datalist: a reading of exactly "normal" (blanks and capitals aside) is 0, any other 1; without a table the name
    of the file tells, `_0` or `_1`. Each image is of a patient of its own.

    Args:
        root: of the data set.
        tables: names that the table may have, the first that is there counts; its columns are the file, sex, age and
            the reading.
        images: folder of the images, below `root`.
        name: of the list.
        split: "patient" or "reference", see `split_as`.
        splits: see `split_as`.
        seed: see `split_as`.

    Raises:
        DatalistError: no images, files absent, a row without reading, or one that contradicts the file's name.
    """
    root = Path(root)
    table = next((root / one for one in tables if (root / one).is_file()), None)
    files = sorted((root / images).glob("*.png"))
    if table is None:
        logger.warning("%s: no table (%s): the names of the files tell the class", root, ", ".join(tables))
        rows = [(path.name, _by_name(path.name)) for path in files]
    else:
        own = rows_of_table(table, *_COLUMNS, heading=False)[1:]  # the words of its heading do not matter
        rows = [(row["file"].strip(), int(row["reading"].strip().casefold() != "normal")) for row in own]
    records: list[dict | None] = []
    for file, label in rows:
        told = _by_name(file)
        if label is None or told not in (None, label):
            raise DatalistError(
                f"{table or root}: {file}: its class must be told by its reading or its name (_0, _1), and alike; "
                f"found {label} and {told}. Correct the row."
            )
        path = str(root / images / file)
        records.append({"image": path, "class": label, "patient": Path(file).stem, "intensity": "xray"})
    header = {"name": name, "modality": {"0": "X-ray"}, "class_names": list(CLASSES)}
    return split_as(split, records, root, header, splits=splits, seed=seed)


def _by_name(file: str) -> int | None:
    end = Path(file).stem.rpartition("_")[2]
    return int(end) if end in ("0", "1") else None
