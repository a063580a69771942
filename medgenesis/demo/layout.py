"""Where a demonstration writes what, and which organs it segments."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SPACING_MM = [6.0, 6.0, 9.0]  # a cube of `quick` then spans 19 x 19 x 14 cm: enough to tell liver from heart

ORGANS = {1: ("lungs", (1, 2, 7)), 2: ("liver", (6,))}  # value in our label maps -> name, values in the phantom's


@dataclass
class Demo:
    """Where a demonstration writes, and what it measured.

    Attributes:
        folder: everything lies below it.
        method: the bundle that it shows.
        scans: datalist of real scans to pre-train on in place of the phantoms, or None.
        dice: (test subjects, organs).
        seconds: of each step.
    """

    folder: Path
    method: str = "models_genesis_ct"
    scans: Path | None = None
    dice: np.ndarray = field(default_factory=lambda: np.empty((0, len(ORGANS))))
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def discovers(self) -> bool:
        """Whether the method discovers patterns before it learns from them."""
        return (self.bundle / "configs" / "mine.yaml").exists()

    @property
    def patterns(self) -> Path:
        """Folder of what was discovered."""
        return self.bundle / "runs" / "mine"

    @property
    def phantoms(self) -> Path:
        return self.folder / "phantoms"

    @property
    def label_maps(self) -> Path:
        return self.folder / "label_maps"

    @property
    def pretraining_list(self) -> Path:
        return self.scans or self.phantoms / "datalist.json"

    @property
    def few_labels_list(self) -> Path:
        return self.phantoms / "few_labels.json"

    def segmentation_of(self, record: dict) -> Path:
        """The label map that inference wrote for a test record."""
        return self.label_maps / Path(record["image"]).name.replace(".nii.gz", "_seg.nii.gz")
