"""Hippocampus MR (Medical Segmentation Decathlon): 203 crops, their anterior and posterior part by hand."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.evidence.sets import SECTIONS, Case, StudySet
from benchmarks.evidence.sets.preparing import case_of, contents_of, data_folder, kept_cases
from medgenesis.data import make_datalist, preprocessing

FINE = (48, 64, 48)  # voxels of 1 mm: no crop is larger
SPLITS = (0.6, 0.1, 0.3)  # 122, 20 and 61 patients
STEP = 2  # network voxels are of 2 mm


def hippocampus(work: Path) -> StudySet:
    """Images at 2 mm (means of 8 voxels), scored at 1 mm; the 122 training images are what pre-training sees."""
    folder = data_folder("mr_hippocampus")
    listed = make_datalist(folder / "images", folder / "labels", splits=SPLITS, modality="MR")
    names = sorted(record["image"] for section in SECTIONS for record in listed[section])
    number = {name: index for index, name in enumerate(names)}  # each image is of a patient of its own
    source = f"mr_hippocampus, LPS, mri_percentile, grid {FINE} at 1 mm, network {STEP} mm, splits {SPLITS}"
    files = contents_of(folder / "images", folder / "labels")

    def read() -> dict[str, list[Case]]:
        prepare = preprocessing(("image",), ("label",), intensity="mri_percentile")

        def case(record: dict) -> Case:
            item = prepare(dict(record))
            image, label = (torch.from_numpy(np.asarray(item[key], dtype=np.float32)) for key in ("image", "label"))
            return case_of(number[record["image"]], image, label, FINE, STEP)

        return {section: [case(record) for record in listed[section]] for section in SECTIONS}

    cases = kept_cases(work / "sets", {"source": source, "files": files}, read)
    unlabelled = cases["training"]
    return StudySet("hippocampus", ("anterior", "posterior"), (16, 24, 16), cases, unlabelled, source, files)
