"""203 crops of MR round the hippocampus (Medical Segmentation Decathlon, task 4): anterior and posterior part."""

from pathlib import Path
from typing import Any

from medgenesis.datasets.checked_files import checked_files
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, by_patient


def mr_hippocampus_datalist(
    root: str | Path, *, splits=SPLITS, seed: int = 0, name: str = "mr_hippocampus"
) -> dict[str, Any]:
    """A datalist of the pairs in `images` and `labels`, for segmentation: no class.

    Args:
        root: folder with the two.
        splits: shares of the patients for training, validation and test.
        seed: of the split.
        name: of the list.

    Raises:
        DatalistError: no images, or label maps absent.
    """
    root = Path(root)
    images = sorted((root / "images").glob("*.nii.gz"))
    records = [
        {
            "image": str(path),
            "label": str(root / "labels" / path.name),
            "patient": path.name.removesuffix(".nii.gz"),
            "intensity": "mri_percentile",
        }
        for path in images
    ]
    header = {"name": name, "modality": {"0": "MR"}, "labels": {"1": "anterior", "2": "posterior"}}
    return by_patient(checked_files(records, root), header, splits, seed)


DATASET = PublishedDataset(
    name="mr_hippocampus",
    title="203 MR crops round the hippocampus: anterior and posterior part",
    holds="images and labels with .nii.gz files",
    source="http://medicaldecathlon.com, task 4 (CC BY-SA 4.0)",
    datalist=mr_hippocampus_datalist,
)
