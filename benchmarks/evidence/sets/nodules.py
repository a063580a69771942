"""Lung nodules in chest CT (LIDC-IDRI): 799 crops of 436 patients, each round a nodule with its mask."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.evidence.sets import SECTIONS, Case, StudySet
from benchmarks.evidence.sets.preparing import case_of, contents_of, data_folder, kept_cases
from benchmarks.evidence.size import SMALL, Size
from medgenesis.data import preprocessing
from medgenesis.datasets.lidc_nodules import lidc_nodules_datalist
from medgenesis.storage import file_fingerprint, fingerprint

SPACING = 0.75  # mm, of what is scored: about that of the slices
FINE = (48, 48, 32)  # 36 x 36 x 24 mm: holds 99.6 % of the masks' voxels, all of 764 nodules
SPLITS = (0.75, 0.1, 0.15)  # of patients; those of the test are few, since each has up to twelve nodules
AIR = "constant"  # what is beyond a crop is 0, as air: more than half of the crops end at slices that show the nodule


def nodules(work: Path, size: Size = SMALL) -> StudySet:
    """The nodule in the middle of each crop; the crops of the training patients are what pre-training sees.

    Crops are thin (a quarter has four slices or fewer), and 460 of 799 end where the nodule is cut: were their last
    slices repeated beyond, an image would go on with a nodule that its label does not have.
    """
    folder = data_folder("ct_lidc_nodules")
    listed = lidc_nodules_datalist(folder, splits=SPLITS)
    patients = sorted({record["patient"] for section in SECTIONS for record in listed[section]})
    number = {name: index for index, name in enumerate(patients)}
    source = f"{folder.name}, LPS, ct, grid {FINE} at {SPACING} mm, beyond it air, network {size.step}, splits {SPLITS}"
    files = fingerprint([contents_of(folder / "images", folder / "masks"), file_fingerprint(folder / "labels.csv")])

    def read() -> dict[str, list[Case]]:
        prepare = preprocessing(("image",), ("label",), intensity="ct", spacing_mm=(SPACING,) * 3)

        def case(record: dict) -> Case:
            item = prepare({name: record[name] for name in ("image", "label")})
            image, label = (torch.from_numpy(np.asarray(item[key], dtype=np.float32)) for key in ("image", "label"))
            return case_of(number[record["patient"]], image, label, FINE, size.step, pad=AIR)

        return {section: [case(record) for record in listed[section]] for section in SECTIONS}

    cases = kept_cases(work / "sets", {"source": source, "files": files}, read)
    crop = size.crop((24, 24, 8))
    return StudySet("nodules", ("nodule",), crop, cases, cases["training"], source, files, size)
