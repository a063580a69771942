"""100 frontal chest X-rays of NIH ChestX-ray14 in two folders, which name the class."""

from pathlib import Path
from typing import Any

from medgenesis.data.patients import patient_of
from medgenesis.datasets.checked_files import checked_files
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, by_patient

CLASSES = ("No_findings", "Pneumonia")


def cxr_nih_datalist(root: str | Path, *, splits=SPLITS, seed: int = 0, name: str = "cxr_nih") -> dict[str, Any]:
    """A datalist of the images in `No_findings` (0) and `Pneumonia` (1); the file name begins with the patient.

    Args:
        root: folder with the two.
        splits: shares of the patients for training, validation and test.
        seed: of the split.
        name: of the list.

    Raises:
        DatalistError: no images, or too few patients of a class.
    """
    records = [
        {"image": str(path), "class": label, "patient": patient_of(path.stem), "intensity": "xray"}
        for label, folder in enumerate(CLASSES)
        for path in sorted(Path(root, folder).glob("*.png"))
    ]
    header = {"name": name, "modality": {"0": "X-ray"}, "class_names": list(CLASSES)}
    return by_patient(checked_files(records, Path(root)), header, splits, seed)


DATASET = PublishedDataset(
    name="cxr_nih",
    title="100 frontal chest X-rays of ChestX-ray14: no finding, or pneumonia (mined from reports)",
    holds="No_findings and Pneumonia with .png files",
    source="https://github.com/muhammedtalo/COVID-19 (NIH Clinical Center: free use, acknowledge)",
    datalist=cxr_nih_datalist,
)
