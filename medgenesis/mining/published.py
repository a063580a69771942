"""The published files of cubes and pseudo labels: written from a pattern table, read as a datalist."""

import logging
import math
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.io.readers import open_array
from medgenesis.mining.coordinates import RESOLUTIONS
from medgenesis.mining.cubes import crop_pattern
from medgenesis.mining.patterns import PatternTable
from medgenesis.storage.atomic import replacing

logger = logging.getLogger(__name__)

CLASSES_PER_FOLD = 50
_PREFIX = {"training": "train", "validation": "val"}
_NAME = "{}_data{}_vwGen_ex_ref_fold{}.0.npy"
_PATTERN = re.compile(r"(train|val)_data([123])_vwGen_ex_ref_fold(\d+(?:\.\d+)?)\.npy")


# file name -> the item whose cube each row holds, None for zeros
_Plan = dict[str, list[Mapping[str, Any] | None]]


def import_published(folder: str | Path, classes: int = 44) -> dict[str, Any]:
    """A datalist of the cubes in published files: `image` (file), `cube` (row of it), `class` and `resolution`.

    For training on it: `PatchDataset` of `load_datalist`'s records with `preprocessing(intensity="unit")`, the cut
    `RandAcceptedCropd("image", (64, 64, 32), criterion="any")`, one cube a volume, `cache="none"` and the keys image,
    target and class. Patients are not known; the published sections share none.

    Args:
        folder: holds `train_data{1,2,3}_vwGen_ex_ref_fold{f}.0.npy` with `train_label…` beside each, and `val_…`.
        classes: the first so many are kept: 44 of the 50 in a file, as published.

    Returns:
        "name", "training" and "validation" (empty where there are no such files), as `write_datalist` takes it.

    Raises:
        DatalistError: no such files, a damaged one or one without its partner, or fewer classes than asked for.

    Notes:
        Files that lack their last row, as the published ones do, are read as they are. Files of resolutions 2 and 3
        that hold zeros, as written without multi-resolution, are left out.
    """
    folder = Path(folder)
    found = sorted(
        (match.group(1), int(match.group(2)), float(match.group(3)), path)
        for path in folder.glob("*.npy")
        if (match := _PATTERN.fullmatch(path.name))
    )
    datalist: dict[str, Any] = {"name": folder.resolve().name}
    for section, prefix in _PREFIX.items():
        own = [(resolution, path) for kind, resolution, _, path in found if kind == prefix]
        datalist[section] = [record for resolution, path in own for record in _records(path, resolution, classes)]
        known = {record["class"] for record in datalist[section]}
        if (own or section == "training") and known != set(range(classes)):
            raise DatalistError(
                f"{folder}: the files {prefix}_data…_vwGen_ex_ref_fold….npy must hold the {classes} classes asked for; "
                f"found {len(known)}. Add the files of the other folds, or ask for fewer classes."
            )
    logger.info("%s: %d cubes for training, %d for validation", folder, *(len(datalist[name]) for name in _PREFIX))
    return datalist


def _records(path: Path, resolution: int, classes: int) -> Iterator[dict[str, Any]]:
    label_path = path.with_name(_label_name(path.name))
    cubes, labels = (_open(name) for name in (path, label_path))
    labels = np.asarray(labels, dtype=np.float64)
    if cubes.ndim != 4 or labels.size != len(cubes) or labels.shape not in ((len(cubes), 1), (len(cubes),)):
        raise DatalistError(
            f"{path}: must be cubes (n, X, Y, Z), with labels (n, 1) of the same export; found {cubes.shape} and "
            f"{labels.shape} in {label_path.name}. Copy them again."
        )
    labels = labels.ravel()
    if not np.array_equal(labels, np.rint(labels)) or labels.min(initial=0) < 0:
        raise DatalistError(f"{label_path}: labels must be whole numbers from 0; found others. Copy it again.")
    rows = np.flatnonzero(labels < classes)
    if resolution > 1 and rows.size and not any(cubes[row].any() for row in rows[[0, rows.size // 2, -1]]):
        logger.info("%s holds zeros: left out", path)
        return
    for row in rows.tolist():
        yield {"image": str(path.absolute()), "cube": row, "class": int(labels[row]), "resolution": resolution}


def _open(path: Path) -> np.ndarray:
    try:
        return open_array(path)
    except Exception as error:  # NumPy's errors for a damaged file are of many kinds
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise DatalistError(
            f"{path}: cannot be read as published cubes or labels ({reason}). Copy it again."
        ) from error


def export_published(table: PatternTable, load: Callable[[int], torch.Tensor], folder: str | Path) -> list[Path]:
    """Write the cubes of a table as the published files, 50 classes a fold, the last fold with those that are left.

    Every volume is loaded once, one is held at a time, and each row is written to its place in the file: memory does
    not grow with the number of cubes. Files get their names when all are whole.

    Args:
        table: the patterns; each class with as many patients as the others, as `discover` makes it.
        load: gives volume i, counted as in `table.volumes`, as (1, X, Y, Z) in [0, 1]: a `VolumeLoader`.
        folder: receives the files, float64 without channel axis, folds counted from 1; made if absent.

    Returns:
        The files.

    Raises:
        DatalistError: classes of different numbers of patients, files of another export in the folder that this one
            does not replace, or too little room on the disk.
        VolumeError: a volume that does not fit the table, or has more than one channel.

    Notes:
        Unlike in the published files no row is lacking. Where a cube of resolution 2 or 3 fitted nowhere, that of
        resolution 1 takes its row, so that rows of the three files go together. Without multi-resolution the files and
        labels 2 and 3 hold zeros, which take no room on most disks.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plan, size = _plan(table), tuple(table.settings["cube_size"])
    strange = sorted(
        path.name for path in folder.glob("*.npy") if _PATTERN.fullmatch(path.name) and path.name not in plan
    )
    if strange:
        raise DatalistError(
            f"{folder}: must hold no files of another export, which would be read as part of this one; found "
            f"{len(strange)}, the first {strange[0]}. Choose another folder, or remove them."
        )
    cubes = sum(item is not None for items in plan.values() for item in items)
    needed, free = cubes * math.prod(size) * np.dtype(np.float64).itemsize, shutil.disk_usage(folder).free
    if needed > free:  # known beforehand, because a mapped file that the disk has no room for kills the process
        raise DatalistError(
            f"{folder}: {cubes} cubes need {needed / 2**30:.1f} GiB; found {free / 2**30:.1f} GiB free. Choose another "
            "disk, or train on the pattern table itself, which needs no copies."
        )
    with ExitStack() as stack:
        beside = {name: stack.enter_context(replacing(folder / name)) for name in plan}
        files = {
            name: np.lib.format.open_memmap(path, "w+", np.float64, (len(plan[name]), *size))
            for name, path in beside.items()
        }
        _fill(files, plan, table, load)
        files.clear()  # closed: Windows renames no open file
        for name, items in plan.items():
            labels = [0.0 if item is None else float(item["class"]) for item in items]
            np.save(stack.enter_context(replacing(folder / _label_name(name))), np.array(labels)[:, None])
    logger.info("%s: %d cubes in %d files", folder, cubes, len(plan))
    return [folder / name for data in plan for name in (data, _label_name(data))]


def _plan(table: PatternTable) -> _Plan:
    """Row by row, class after class, what the files hold."""
    plan: _Plan = {}
    for section, prefix in _PREFIX.items():
        cube_of = {(item["resolution"], item["class"], item["image"]): item for item in table.items(section)}
        by_class = [[] for _ in range(table.num_classes)]
        for (resolution, number, _), item in cube_of.items():
            if resolution == 1:
                by_class[number].append(item)
        counts = [len(items) for items in by_class]
        if len(set(counts)) > 1:
            raise DatalistError(
                f"section: published files need as many patients for each class; found {min(counts)} to {max(counts)} "
                f"in section {section!r}. Mine again with one number for all."
            )
        multiple = any(resolution > 1 for resolution, _, _ in cube_of)
        for fold, first in enumerate(range(0, table.num_classes, CLASSES_PER_FOLD), start=1):
            rows = [item for items in by_class[first : first + CLASSES_PER_FOLD] for item in items]
            if not rows:
                continue
            plan[_NAME.format(prefix, 1, fold)] = rows
            for resolution in RESOLUTIONS[1:] if section == "training" else ():
                plan[_NAME.format(prefix, resolution, fold)] = [
                    cube_of.get((resolution, item["class"], item["image"]), item) if multiple else None for item in rows
                ]
    return plan


def _fill(files: Mapping[str, np.ndarray], plan: _Plan, table: PatternTable, load: Callable) -> None:
    places: dict[str, list[tuple[str, int, Mapping]]] = {}
    for name, items in plan.items():
        for row, item in enumerate(items):
            if item is not None:
                places.setdefault(item["image"], []).append((name, row, item))
    for i, info in enumerate(table.volumes):
        if info.image in places:
            _fill_from(load(i), info.image, files, places[info.image], table.settings["cube_size"])


def _fill_from(volume: torch.Tensor, image: str, files: Mapping, places: list, size: Sequence[int]) -> None:
    """A function of its own, so that one volume is gone when the next is loaded."""
    if volume.shape[0] != 1:
        raise VolumeError(f"{image}: published files need one channel; found {volume.shape[0]}. Export it otherwise.")
    for name, row, item in places:
        files[name][row] = crop_pattern(volume, item["origin"], item["size"], size)[0].numpy(force=True)


def _label_name(data_name: str) -> str:
    return data_name.replace("_data", "_label", 1)
