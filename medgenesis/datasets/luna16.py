"""LUNA16: ten folds of chest CT, and the cubes that Models Genesis' authors prepared from it."""

import logging
import re
from pathlib import Path
from typing import Any

from medgenesis.data.folders import rows_of
from medgenesis.data.splits import SECTIONS, check_disjoint
from medgenesis.datasets.published import PublishedDataset
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)

SECTION_OF_FOLD = dict(zip(range(10), ["training"] * 5 + ["validation"] * 2 + ["test"] * 3, strict=True))
"""The published use of the folds: 0-4 to train, 5-6 to validate, 7-9 to test."""
_CUBES = re.compile(r"bat_32_(?:s_)?64x64x32_(\d)\.npy")


def luna16_datalist(root: str | Path, *, name: str = "LUNA16") -> dict[str, Any]:
    """A datalist of the scans, or of the prepared cubes where there are no scans, by the published folds.

    Args:
        root: folder with `subset0` … `subset9` of `.mhd` files, or with `bat_32_s_64x64x32_<fold>.npy` (of two files of
            one fold, `bat_32_s_…`, which the authors' trainer reads, is taken).
        name: of the list.

    Returns:
        Records with `image` and `patient` (the series, or the fold, for the cubes do not say whose they are); of a
        stack of cubes one record a row, with `cube`.

    Raises:
        DatalistError: no such folder, or neither in it; folds that are absent are a warning that names them.

    References:
        Zhou et al., Models Genesis, Medical Image Analysis 2021 (arXiv 2004.07882), section 4.
    """
    root = Path(root)
    if not root.is_dir():
        raise DatalistError(f"{root}: must be a folder; found none. Give the one that holds subset0 … subset9.")
    by_fold = scans_by_fold(root) or _cubes(root)
    if not by_fold:
        raise DatalistError(
            f"{root}: must hold subset0..9/*.mhd or bat_32_s_64x64x32_<fold>.npy; found neither. Unpack LUNA16 there."
        )
    absent = [str(fold) for fold in SECTION_OF_FOLD if fold not in by_fold]
    if absent:
        logger.warning("%s: holds nothing of the folds %s", root, ", ".join(absent))
    keys = {"patient_keys": ["fold" if any("cube" in record for record in by_fold[min(by_fold)]) else "UID"]}
    datalist: dict[str, Any] = {"name": name, "modality": {"0": "CT"}, **keys, **{section: [] for section in SECTIONS}}
    for fold, records in sorted(by_fold.items()):
        datalist[SECTION_OF_FOLD[fold]] += records
    check_disjoint(datalist)
    counts = ", ".join(f"{len(datalist[section])} {section}" for section in SECTIONS)
    logger.info("%d records: %s", sum(map(len, by_fold.values())), counts)
    return datalist


def scans_by_fold(root: str | Path) -> dict[int, list[dict]]:
    """Records of the scans in `subset0` … `subset9`, by fold; folds without scans are left out."""
    found = {}
    for fold in SECTION_OF_FOLD:
        volumes = sorted((Path(root) / f"subset{fold}").glob("*.mhd"))
        if volumes:
            found[fold] = [{"image": str(path), "patient": path.stem} for path in volumes]
    return found


def _cubes(root: Path) -> dict[int, list[dict]]:
    stacks = {}
    for path in sorted(root.glob("bat_32_*.npy")):  # `_s_` sorts behind and wins
        match = _CUBES.fullmatch(path.name)
        if match:
            stacks[int(match.group(1))] = path
    return {fold: rows_of({"image": str(path), "patient": f"luna16-fold{fold}"}) for fold, path in stacks.items()}


DATASET = PublishedDataset(
    name="luna16",
    title="LUNA16: 888 chest CT in ten folds, or the cubes prepared from it",
    holds="subset0 … subset9 with .mhd and .raw files, or bat_32_s_64x64x32_<fold>.npy",
    source="https://luna16.grand-challenge.org (CC BY 4.0, from LIDC-IDRI)",
    datalist=luna16_datalist,
)
