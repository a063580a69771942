"""Lungs in chest X-rays: 44 images of 37 patients drawn by radiologists; two other collections without labels."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.evidence.sets import SECTIONS, Case, StudySet
from benchmarks.evidence.sets.preparing import case_of, contents_of, data_folder, kept_cases
from benchmarks.evidence.size import SMALL, Size
from medgenesis.data.splits import split_patients
from medgenesis.storage import file_fingerprint, fingerprint

SIDE = 256  # pixels that are scored; the network sees 128, at full size as many
SPLITS = (0.4, 0.15, 0.45)
_LUNGS = (1, 2)  # bits: right, left
OTHERS = {"cxr_nih_more": ("index.csv", "patient", "file"), "cxr_hannover": ("data.csv", "patient_id", "image_id")}


def lungs(work: Path, size: Size = SMALL) -> StudySet:
    """Right and left lung; pre-training sees the other collections and this one's images of training patients."""
    folder = data_folder("cxr_cohen_radiologist")
    rows = [row for row in _rows(folder / "index.csv") if row["anatomy"] == "1"]
    section = split_patients([row["patient"] for row in rows], SPLITS)
    number = {patient: index for index, patient in enumerate(sorted(section))}
    source = f"{folder.name} anatomy, {', '.join(OTHERS)}, square, {SIDE} pixels, network {size.step}, splits {SPLITS}"
    folders = [folder / "images", folder / "anatomy", *(data_folder(name) / "images" for name in OTHERS)]
    tables = [folder / "index.csv", *(data_folder(name) / table for name, (table, *_) in OTHERS.items())]
    files = fingerprint([contents_of(*folders), *map(file_fingerprint, tables)])

    def labelled(row: dict[str, str]) -> Case:
        bits = _square(folder / "anatomy" / row["file"], Image.Resampling.NEAREST).long()
        label = sum((structure + 1) * ((bits & bit) > 0).float() for structure, bit in enumerate(_LUNGS))
        image = _square(folder / "images" / row["file"], Image.Resampling.BOX) / 255
        return case_of(number[row["patient"]], image, label, (SIDE, SIDE), size.step)

    def read() -> dict[str, list[Case]]:
        cases = {one: [labelled(row) for row in rows if section[row["patient"]] == one] for one in SECTIONS}
        return {**cases, "others": list(_others(len(number), size.step))}

    cases = kept_cases(work / "sets", {"source": source, "files": files}, read)
    unlabelled = [*cases["training"], *cases.pop("others")]
    crop = size.crop((96, 96))
    return StudySet("lungs", ("right lung", "left lung"), crop, cases, unlabelled, source, files, size)


def _others(first: int, step: int) -> Iterator[Case]:
    """The images without labels, of patients numbered from `first` on."""
    for name, (table, patient, file) in OTHERS.items():
        folder = data_folder(name)
        rows = _rows(folder / table)
        number = {one: first + index for index, one in enumerate(sorted({row[patient] for row in rows}))}
        first += len(number)
        for row in rows:
            path = folder / "images" / row[file]
            path = path if path.suffix else path.with_suffix(".png")
            image = _square(path, Image.Resampling.BOX) / 255
            yield case_of(number[row[patient]], image, None, (SIDE, SIDE), step)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _square(path: Path, how: Image.Resampling) -> Tensor:
    """The image in grey, (1, H, W), its longer side `SIDE`; rows go down."""
    with Image.open(path) as image:
        share = SIDE / max(image.size)
        sides = tuple(max(1, round(side * share)) for side in image.size)
        grey = image.convert("L") if image.mode != "L" else image
        return torch.from_numpy(np.array(grey.resize(sides, how), dtype=np.float32))[None]
