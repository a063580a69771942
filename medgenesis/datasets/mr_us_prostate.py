"""27 patients with two views of the prostate each: T2 MR and transrectal ultrasound."""

from pathlib import Path
from typing import Any

from medgenesis.datasets.checked_files import checked_files
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS, by_patient

VIEWS = ("mr", "us")


def mr_us_prostate_datalist(
    root: str | Path, *, splits=SPLITS, seed: int = 0, name: str = "mr_us_prostate"
) -> dict[str, Any]:
    """A datalist with both views of each patient, `view` telling which; for `multiview`: no class.

    Args:
        root: folder with `mr_images` and `us_images`.
        splits: shares of the patients for training, validation and test.
        seed: of the split.
        name: of the list.

    Raises:
        DatalistError: no images, or a patient without one of the views.
    """
    root = Path(root)
    cases = sorted({path.name for view in VIEWS for path in (root / f"{view}_images").glob("*.nii.gz")})
    records = [
        {
            "image": str(root / f"{view}_images" / case),
            "patient": case.removesuffix(".nii.gz"),
            "view": view,
            "intensity": {"preset": "custom", "a_min": 0, "a_max": 255},
        }
        for case in cases
        for view in VIEWS
    ]
    return by_patient(checked_files(records, root), {"name": name, "modality": {"0": "MR, US"}}, splits, seed)


DATASET = PublishedDataset(
    name="mr_us_prostate",
    title="27 patients with MR and ultrasound of the prostate: two views of each",
    holds="mr_images and us_images",
    source="https://github.com/DeepRegNet/DeepReg (Apache-2.0)",
    datalist=mr_us_prostate_datalist,
)
