"""LUNA16's candidates as cubes with their class: the list of the published task NCC (nodule or not)."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medgenesis.data.datalists import write_datalist
from medgenesis.data.pipeline import preprocessing
from medgenesis.data.splits import SECTIONS
from medgenesis.datasets.luna16 import SECTION_OF_FOLD, scans_by_fold
from medgenesis.datasets.tables import class_of_row, number_of_row, rows_of_table
from medgenesis.errors import DatalistError
from medgenesis.progress import track
from medgenesis.storage.atomic import make_folder, replacing

logger = logging.getLogger(__name__)

_COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "class")
_AIR = -1000


def luna16_candidates(
    root: str | Path,
    candidates: str | Path,
    out: str | Path,
    *,
    size: Sequence[int] = (64, 64, 32),
    negatives: int | None = 10,
    seed: int = 0,
) -> Path:
    """Cut a cube round each candidate, in Hounsfield units, and list the cubes by the published folds.

    Args:
        root: holds `subset0` … `subset9` with `.mhd` files.
        candidates: `candidates_V2.csv`, or another table of its columns; places in millimetres, LPS.
        out: receives `fold_0.npy`, … (int16, (n, *size)) and `ncc.json`.
        size: voxels of a cube; outside of the scan there is air.
        negatives: candidates of class 0 for each of class 1, drawn in each fold; None: all (hundreds of gigabytes).
        seed: of the draw.

    Returns:
        The list: records with `image`, `cube`, `class` and `patient` (the series).

    Raises:
        DatalistError: no scans, no table of candidates, a row whose place or class is none, or no candidate of class 1
            in a fold that has scans.

    References:
        Setio et al., Validation, comparison, and combination of algorithms for automatic detection of pulmonary
        nodules: the LUNA16 challenge, Medical Image Analysis 2017. Zhou et al., Models Genesis, 2021: task NCC.
    """
    by_fold, rows = scans_by_fold(root), rows_of_table(Path(candidates), *_COLUMNS)
    if not by_fold:
        raise DatalistError(f"{root}: must hold subset0..9/*.mhd; found no scan. Unpack LUNA16 there.")
    for number, row in enumerate(rows, 2):
        class_of_row(row["class"], ("0", "1"), Path(candidates), number)
        for column in _COLUMNS[1:4]:
            number_of_row(row[column], column, Path(candidates), number)
    folder = Path(out)
    make_folder(folder)
    listed: dict[str, Any] = {"name": "LUNA16 candidates", "modality": {"0": "CT"}, "patient_keys": ["UID"]}
    listed |= {section: [] for section in SECTIONS}
    for fold, records in sorted(by_fold.items()):
        scans = {record["patient"]: record for record in records}
        chosen = _chosen([row for row in rows if row["seriesuid"] in scans], negatives, seed + fold, fold)
        path = folder / f"fold_{fold}.npy"
        _cut(path, chosen, scans, tuple(size), f"fold {fold}")
        for number, row in enumerate(chosen):
            record = {"image": str(path.absolute()), "cube": number, "class": int(row["class"])}
            listed[SECTION_OF_FOLD[fold]].append({**record, "patient": row["seriesuid"]})
    write_datalist(listed, folder / "ncc.json")
    return folder / "ncc.json"


def _chosen(rows: list[dict], negatives: int | None, seed: int, fold: int) -> list[dict]:
    """All of class 1 and as many of class 0 as asked for, series by series."""
    positive = [row for row in rows if row["class"] == "1"]
    others = [row for row in rows if row["class"] != "1"]
    if not positive:
        raise DatalistError(
            f"subset{fold}: must have candidates of class 1 in the table; found none. Give candidates_V2.csv of LUNA16."
        )
    if negatives is not None and len(others) > negatives * len(positive):
        drawn = np.random.default_rng(seed).permutation(len(others))[: negatives * len(positive)]
        others = [others[i] for i in sorted(drawn)]
    return sorted([*positive, *others], key=lambda row: row["seriesuid"])


def _cut(path: Path, rows: list[dict], scans: dict[str, dict], size: tuple[int, ...], what: str) -> None:
    """The cubes of a fold as one stack; a scan is read once, one is held at a time."""
    prepare, series, volume, inverse = preprocessing(intensity=None), None, torch.empty(0), torch.empty(0)
    with replacing(path) as beside, Path(beside).open("wb") as file:
        header = {"descr": "<i2", "fortran_order": False, "shape": (len(rows), *size)}
        np.lib.format.write_array_header_1_0(file, header)
        for row in track(rows, what):
            if row["seriesuid"] != series:
                series = row["seriesuid"]
                image = prepare({"image": scans[series]["image"]})["image"]
                volume, inverse = image.as_tensor()[0], torch.linalg.inv(image.affine.double())
            x, y, z = (float(row[name]) for name in _COLUMNS[1:4])
            place = inverse @ torch.tensor([-x, -y, z, 1.0], dtype=torch.float64)  # affines are RAS, the table is LPS
            file.write(_cube(volume, place[:3].round().int().tolist(), size).numpy().astype("<i2").tobytes())


def _cube(volume: torch.Tensor, centre: list[int], size: tuple[int, ...]) -> torch.Tensor:
    """The cube whose middle voxel (of even sides the one behind it) is `centre`."""
    cube = torch.full(size, float(_AIR))
    starts = [middle - side // 2 for middle, side in zip(centre, size, strict=True)]
    inside = [
        slice(max(start, 0), max(min(start + side, whole), 0))
        for start, side, whole in zip(starts, size, volume.shape, strict=True)
    ]
    there = tuple(slice(one.start - start, one.stop - start) for one, start in zip(inside, starts, strict=True))
    if all(one.stop > one.start for one in inside):
        cube[there] = volume[tuple(inside)].float()
    return cube.round().clamp(-32768, 32767)
