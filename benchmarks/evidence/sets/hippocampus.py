"""Hippocampus MR (Medical Segmentation Decathlon): 203 crops, their anterior and posterior part by hand."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import SpatialPad
from torch import Tensor

from benchmarks.evidence.sets import SECTIONS, Case, StudySet
from benchmarks.evidence.sets.kept import data_folder, in_order, kept_cases
from medgenesis.data import make_datalist, preprocessing
from medgenesis.storage import file_fingerprint, fingerprint

FINE = (48, 64, 48)  # voxels of 1 mm: no crop is larger
SPLITS = (0.6, 0.1, 0.3)  # 122, 20 and 61 patients
STEP = 2  # network voxels are of 2 mm


def hippocampus(work: Path) -> StudySet:
    """Images at 2 mm (means of 8 voxels), scored at 1 mm; the 122 training images are what pre-training sees."""
    folder = data_folder() / "mr_hippocampus"
    listed = make_datalist(folder / "images", folder / "labels", splits=SPLITS, modality="MR")
    names = sorted(record["image"] for section in SECTIONS for record in listed[section])
    number = {name: index for index, name in enumerate(names)}  # each image is of a patient of its own
    source = f"mr_hippocampus, LPS, mri_percentile, grid {FINE} at 1 mm, network {STEP} mm, splits {SPLITS}"
    files = fingerprint([file_fingerprint(file) for kind in ("images", "labels") for file in in_order(folder / kind)])

    def read() -> dict[str, list[Case]]:
        prepare = preprocessing(("image",), ("label",), intensity="mri_percentile")
        return {
            section: [_case(prepare(dict(record)), number[record["image"]]) for record in listed[section]]
            for section in SECTIONS
        }

    cases = kept_cases(work / "sets", {"source": source, "files": files}, read)
    unlabelled = cases["training"]
    return StudySet("hippocampus", ("anterior", "posterior"), (16, 24, 16), cases, unlabelled, source, files)


def _case(item: dict[str, Tensor], number: int) -> Case:
    image, label = (torch.from_numpy(np.asarray(item[key], dtype=np.float32)) for key in ("image", "label"))
    sides = tuple(min(-(-side // STEP), fine // STEP) for side, fine in zip(image.shape[1:], FINE, strict=True))
    image = _on_grid(image, "edge")
    return Case(number, F.avg_pool3d(image[None], STEP)[0], _on_grid(label, "constant").to(torch.uint8), sides)


def _on_grid(volume: Tensor, mode: str) -> Tensor:
    """Padded on both sides alike to `FINE`, (1, X, Y, Z)."""
    return torch.from_numpy(np.asarray(SpatialPad(FINE, mode=mode)(volume)))
