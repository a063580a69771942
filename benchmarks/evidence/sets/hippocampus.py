"""Hippocampus MR (Medical Segmentation Decathlon): 203 crops, their anterior and posterior part by hand."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.evidence.sets import SECTIONS, Case, StudySet
from benchmarks.evidence.sets.preparing import case_of, contents_of, data_folder, kept_cases
from benchmarks.evidence.size import SMALL, Size
from medgenesis.data import make_datalist, preprocessing

FINE = (48, 64, 48)  # voxels of 1 mm: no crop is larger
SPLITS = (0.6, 0.1, 0.3)  # 122, 20 and 61 patients


def hippocampus(work: Path, size: Size = SMALL) -> StudySet:
    """Images at 2 mm (means of 8 voxels; full size: 1 mm), scored at 1 mm; pretexts see the 122 training images."""
    folder = data_folder("mr_hippocampus")
    listed = make_datalist(folder / "images", folder / "labels", splits=SPLITS, modality="MR")
    names = sorted(record["image"] for section in SECTIONS for record in listed[section])
    number = {name: index for index, name in enumerate(names)}  # each image is of a patient of its own
    source = f"mr_hippocampus, LPS, mri_percentile, grid {FINE} at 1 mm, network {size.step} mm, splits {SPLITS}"
    files = contents_of(folder / "images", folder / "labels")

    def read() -> dict[str, list[Case]]:
        prepare = preprocessing(("image",), ("label",), intensity="mri_percentile")

        def case(record: dict) -> Case:
            item = prepare(dict(record))
            image, label = (torch.from_numpy(np.asarray(item[key], dtype=np.float32)) for key in ("image", "label"))
            return case_of(number[record["image"]], image, label, FINE, size.step)

        return {section: [case(record) for record in listed[section]] for section in SECTIONS}

    cases = kept_cases(work / "sets", {"source": source, "files": files}, read)
    unlabelled = cases["training"]
    crop = size.crop((16, 24, 16))
    return StudySet("hippocampus", ("anterior", "posterior"), crop, cases, unlabelled, source, files, size)
