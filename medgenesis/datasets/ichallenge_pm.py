"""iChallenge-PM (PALM): 400 photographs of the fundus: normal, high myopia, pathological myopia."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, split_as
from medgenesis.errors import DatalistError

CLASSES = ("not pathological", "pathological myopia")
_KINDS = {"N": 0, "H": 1, "P": 2}  # normal, high myopia, pathological myopia: first letter of the file's name
_FOLDER = "PALM-Training400/PALM-Training400"


def ichallenge_pm_datalist(
    root: str | Path,
    *,
    high_myopia: int = 0,
    split: str = "patient",
    splits: Sequence[float] = SPLITS,
    seed: int = 0,
    name: str = "ichallenge_pm",
) -> dict[str, Any]:
    """A datalist by the first letter of the files' names. Patients are not published: each image counts as one.

    Args:
        root: folder with `PALM-Training400/PALM-Training400`.
        high_myopia: class of those with high myopia that is not pathological: 0, as the study's numbers; its README
            says 1.
        split: "patient" or "reference" (by image, in the order of the names).
        splits: see `split_as`.
        seed: see `split_as`.
        name: of the list.

    Raises:
        ValueError: another class of high myopia.
        DatalistError: no images, or a name of another letter.
    """
    if high_myopia not in (0, 1):
        raise ValueError(f"high_myopia: must be 0 or 1; found {high_myopia!r}. Choose one of them.")
    records: list[dict | None] = []
    for path in sorted(Path(root, _FOLDER).glob("*.jpg")):
        kind = _KINDS.get(path.name[:1].upper())
        if kind is None:
            raise DatalistError(f"{path}: its name must begin with N, H or P; found another letter. Take it out.")
        label = (0, high_myopia, 1)[kind]
        records.append({"image": str(path), "class": label, "patient": path.stem, "intensity": "xray", "colour": True})
    header = {"name": name, "modality": {"0": "fundus"}, "class_names": list(CLASSES)}
    return split_as(split, records, Path(root), header, splits=splits, seed=seed)


DATASET = PublishedDataset(
    name="ichallenge_pm",
    title="iChallenge-PM: 400 fundus photographs, pathological myopia or not",
    holds="PALM-Training400/PALM-Training400 with .jpg files",
    source="https://ichallenges.grand-challenge.org/iChallenge-PM (see its terms)",
    datalist=ichallenge_pm_datalist,
)
