"""iChallenge-AMD: 400 photographs of the fundus, with age-related macular degeneration or without."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, split_as

FOLDERS = ("Non-AMD", "AMD")


def ichallenge_amd_datalist(
    root: str | Path,
    *,
    split: str = "patient",
    splits: Sequence[float] = SPLITS,
    seed: int = 0,
    name: str = "ichallenge_amd",
) -> dict[str, Any]:
    """A datalist of the folders `Non-AMD` (0) and `AMD` (1), in the order of the files' names. Patients are not
    published: each image counts as one.

    Args:
        root: folder with `Training400`.
        split: "patient" or "reference" (by image; the study's table had an order of its own, which is not published).
        splits: see `split_as`.
        seed: see `split_as`.
        name: of the list.

    Raises:
        DatalistError: no images.
    """
    records = [
        {"image": str(path), "class": label, "patient": path.stem, "intensity": "xray", "colour": True}
        for label, folder in enumerate(FOLDERS)
        for path in sorted(Path(root, "Training400", folder).glob("*.jpg"))
    ]
    records.sort(key=lambda record: record["patient"])
    header = {"name": name, "modality": {"0": "fundus"}, "class_names": list(FOLDERS)}
    return split_as(split, records, Path(root), header, splits=splits, seed=seed)


DATASET = PublishedDataset(
    name="ichallenge_amd",
    title="iChallenge-AMD: 400 fundus photographs, macular degeneration or not",
    holds="Training400/AMD and Training400/Non-AMD with .jpg files",
    source="https://ichallenges.grand-challenge.org/iChallenge-AMD (see its terms)",
    datalist=ichallenge_amd_datalist,
)
