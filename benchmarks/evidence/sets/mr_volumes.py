"""Three sets of MR volumes in folders of one form: prostates, fetal brains across two atlases, brains of mice."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.evidence.sets import SECTIONS, Case, StudySet
from benchmarks.evidence.sets.preparing import (
    case_of,
    contents_of,
    data_folder,
    kept_cases,
    percentile_scaled,
    read_nifti,
)
from benchmarks.evidence.size import SMALL, Size
from medgenesis.data.splits import split_patients
from medgenesis.errors import DatalistError
from medgenesis.storage import fingerprint

HALF = (0.5, 0.15, 0.35)  # of few patients half are learnt from
TISSUES = (
    "white matter",
    "ventricles",
    "cerebellum",
    "outer fluid",
    "cortex",
    "deep grey matter",
    "brainstem",
    "corpus callosum",
)


def prostate(work: Path, size: Size = SMALL) -> StudySet:
    """The gland in T2 MR of 27 patients, 64 x 64 x 60 voxels; the network sees every second."""
    folder = data_folder("mr_us_prostate")
    section = split_patients(_names(folder / "mr_images"), HALF)
    kinds = ("mr_images", "mr_labels")
    return _volumes("prostate", ("gland",), folder, kinds, section, (24, 24, 24), (64, 64, 64), 1, work, size)


def fetal_shift(work: Path, size: Size = SMALL) -> StudySet:
    """Fetal brain atlases: weeks of one atlas (crl) to learn from and to choose on, those of the other (sba) to test.

    Scored at 1.6 mm, every second voxel of the 0.8 mm of the files; the network sees 3.2 mm.
    """
    folder = data_folder("mr_fetal_brain")
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        atlas = {row["file"]: row["atlas"] for row in csv.DictReader(file)}
    section = split_patients([name for name, own in atlas.items() if own == "crl"], (0.78, 0.22, 0.0))
    section |= dict.fromkeys((name for name, own in atlas.items() if own == "sba"), "test")
    kinds = ("images", "labels")
    return _volumes("fetal_shift", TISSUES, folder, kinds, section, (24, 24, 24), (80, 96, 80), 2, work, size)


def mouse(work: Path, size: Size = SMALL) -> StudySet:
    """37 structures of the brains of 33 mice; scored at 0.3 mm, every second voxel; the network sees 0.6 mm."""
    folder = data_folder("mr_mouse_brain")
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        names = {int(row["label"]): row["structure_name"] for row in csv.DictReader(file)}
    first = read_nifti(folder / "labels" / _names(folder / "labels")[0])
    present = [int(value) for value in first.unique() if value > 0]
    section = split_patients(_names(folder / "images"), HALF)

    def numbered(label: Tensor) -> Tensor:
        unknown = sorted({int(value) for value in label.unique()} - {0, *present})
        if unknown:
            raise DatalistError(f"{folder}: labels must be those of the first file; found {unknown} too. Add them.")
        numbers = torch.zeros(256)
        numbers[present] = torch.arange(1.0, len(present) + 1)
        return numbers[label.long()]

    kinds, structures = ("images", "labels"), tuple(names[value].strip() for value in present)
    crop, fine = (24, 24, 16), (64, 64, 48)
    return _volumes("mouse", structures, folder, kinds, section, crop, fine, 2, work, size, numbered)


def _volumes(
    name: str,
    structures: tuple[str, ...],
    folder: Path,
    kinds: Sequence[str],
    section: Mapping[str, str],
    crop: tuple[int, ...],
    fine: tuple[int, ...],
    every: int,
    work: Path,
    size: Size,
    numbered: Callable[[Tensor], Tensor] = lambda label: label,
) -> StudySet:
    """A set of files of one name in a folder of images and one of labels; `every` so-many-th voxel is scored."""
    number = {file: index for index, file in enumerate(sorted(section))}
    source = f"{folder.name} {kinds}, mri_percentile, every {every} voxels on a grid {fine}, network {size.step}, "
    source += f"sections {fingerprint(dict(section))[:8]}"

    def case(file: str) -> Case:
        image, label = (read_nifti(folder / kind / file) for kind in kinds)
        # an image voxel of the scored grid is the mean of those that it stands for
        image = percentile_scaled(image)
        image = torch.nn.functional.avg_pool3d(torch.as_tensor(image)[None], every)[0] if every > 1 else image
        label = numbered(label)[(slice(None), *(slice(every // 2, None, every),) * 3)] if every > 1 else numbered(label)
        label = label[(slice(None), *(slice(side) for side in image.shape[1:]))]
        return case_of(number[file], image, label, fine, size.step)

    def read() -> dict[str, list[Case]]:
        return {one: [case(file) for file in sorted(section) if section[file] == one] for one in SECTIONS}

    files = contents_of(*(folder / kind for kind in kinds))
    cases = kept_cases(work / "sets", {"source": source, "files": files}, read)
    return StudySet(name, structures, size.crop(crop), cases, cases["training"], source, files, size)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.nii.gz"))
