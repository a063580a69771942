"""LUNA16's candidates as cubes with their class: the list of the published task NCC (nodule or not)."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from medgenesis.data.datalists import write_datalist
from medgenesis.data.pipeline import preprocessing
from medgenesis.data.splits import SECTIONS
from medgenesis.datasets.luna16 import SECTION_OF_FOLD, scans_by_fold
from medgenesis.datasets.tables import class_of_row, number_of_row, rows_of_table
from medgenesis.errors import DatalistError, first_few
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
        DatalistError: no scans, no table of candidates, a row whose place or class is none, a place outside of its
            scan, or no candidate of class 1 in a fold that has scans. Rows without a scan and scans without a row are
            left out, with a warning that counts them.

    References:
        Setio et al., Validation, comparison, and combination of algorithms for automatic detection of pulmonary
        nodules: the LUNA16 challenge, Medical Image Analysis 2017. Zhou et al., Models Genesis, 2021: task NCC.
    """
    by_fold, candidates = scans_by_fold(root), Path(candidates)
    if not by_fold:
        raise DatalistError(f"{root}: must hold subset0..9/*.mhd; found no scan. Unpack LUNA16 there.")
    rows = [
        _Candidate.of(row, candidates, number) for number, row in enumerate(rows_of_table(candidates, *_COLUMNS), 2)
    ]
    _tell_unmatched(rows, [record["patient"] for records in by_fold.values() for record in records], candidates)
    folder = Path(out)
    make_folder(folder)
    listed: dict[str, Any] = {"name": "LUNA16 candidates", "modality": {"0": "CT"}, "patient_keys": ["UID"]}
    listed |= {section: [] for section in SECTIONS}
    for fold, records in sorted(by_fold.items()):
        scans = {record["patient"]: record for record in records}
        chosen = _chosen([row for row in rows if row.series in scans], negatives, seed + fold, fold)
        path = folder / f"fold_{fold}.npy"
        _cut(path, chosen, scans, tuple(size), candidates, f"fold {fold}")
        for number, row in enumerate(chosen):
            record = {"image": str(path.absolute()), "cube": number, "class": row.label}
            listed[SECTION_OF_FOLD[fold]].append({**record, "patient": row.series})
    write_datalist(listed, folder / "ncc.json")
    return folder / "ncc.json"


class _Candidate(NamedTuple):
    """A row of the table: its number, the series, the place in millimetres (LPS), the class."""

    number: int
    series: str
    place: tuple[float, ...]
    label: int

    @classmethod
    def of(cls, row: Mapping[str, str], table: Path, number: int) -> "_Candidate":
        place = tuple(number_of_row(row[column], column, table, number) for column in _COLUMNS[1:4])
        label = class_of_row(row["class"], ("0", "1"), table, number)
        return cls(number, row["seriesuid"].strip(), place, label)


def _tell_unmatched(rows: Sequence[_Candidate], scans: Sequence[str], table: Path) -> None:
    """Count what goes into no cube: rows without a scan, and scans without a row."""
    there, named = set(scans), {row.series for row in rows}
    strange = [row.series for row in rows if row.series not in there]
    if strange:
        logger.warning(
            "%s: %d of %d rows left out, their scans are not there: %d series (%s)",
            *(table, len(strange), len(rows), len(set(strange)), first_few(dict.fromkeys(strange), 3)),
        )
    bare = [name for name in scans if name not in named]
    if bare:
        logger.warning("%s: %d of %d scans have no row (%s)", table, len(bare), len(scans), first_few(bare, 3))


def _chosen(rows: list[_Candidate], negatives: int | None, seed: int, fold: int) -> list[_Candidate]:
    """All of class 1 and as many of class 0 as asked for, series by series."""
    positive = [row for row in rows if row.label == 1]
    others = [row for row in rows if row.label == 0]
    if not positive:
        raise DatalistError(
            f"subset{fold}: must have candidates of class 1 in the table; found none. Give candidates_V2.csv of LUNA16."
        )
    if negatives is not None and len(others) > negatives * len(positive):
        drawn = np.random.default_rng(seed).permutation(len(others))[: negatives * len(positive)]
        others = [others[i] for i in sorted(drawn)]
    return sorted([*positive, *others], key=lambda row: row.series)


def _cut(
    path: Path, rows: list[_Candidate], scans: dict[str, dict], size: tuple[int, ...], table: Path, what: str
) -> None:
    """The cubes of a fold as one stack; a scan is read once, one is held at a time."""
    prepare, series, volume, inverse = preprocessing(intensity=None), None, torch.empty(0), torch.empty(0)
    with replacing(path) as beside, Path(beside).open("wb") as file:
        header = {"descr": "<i2", "fortran_order": False, "shape": (len(rows), *size)}
        np.lib.format.write_array_header_1_0(file, header)
        for row in track(rows, what):
            if row.series != series:
                series = row.series
                image = prepare({"image": scans[series]["image"]})["image"]
                volume, inverse = image.as_tensor()[0], torch.linalg.inv(image.affine.double())
            x, y, z = row.place
            centre = (inverse @ torch.tensor([-x, -y, z, 1.0], dtype=torch.float64))[:3]  # affines are RAS, places LPS
            if not all(-1 <= one <= side for one, side in zip(centre.tolist(), volume.shape, strict=True)):
                raise DatalistError(
                    f"{table}, row {row.number}: its place must be in the scan, to a voxel; found {x:g}, {y:g}, {z:g} "
                    f"mm outside of {series}, which would be a cube of air. Correct the row: millimetres, LPS."
                )
            file.write(_cube(volume, centre.round().int().tolist(), size).numpy().astype("<i2").tobytes())


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
