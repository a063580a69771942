"""A datalist of nnU-Net's preprocessed arrays: all cases, or those that a fold trains on."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medgenesis.data.json_files import read_json_object
from medgenesis.data.patients import patient_key
from medgenesis.data.splits import SECTIONS, check_disjoint, split_patients
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)

_SUFFIXES = (".b2nd", ".npy", ".npz")  # in the order in which nnU-Net prefers them
_SPLITS = "splits_final.json"


def preprocessed_datalist(folder: str | Path, fold: int | None = None, seed: int = 0) -> dict[str, Any]:
    """The cases of a folder `nnUNet_preprocessed/DATASET/…_3d_fullres`, with their label maps.

    Nine tenths of the cases are for training, one tenth for validation. Of a fold they are those that it trains on;
    the cases that it validates on are the section `test`, which pre-training never sees.

    Args:
        folder: of the arrays.
        fold: its number in `splits_final.json` beside the folder; None: all cases.
        seed: of the split.

    Raises:
        DatalistError: no arrays, a fold that is not there, or cases of it that are absent.
    """
    folder = Path(folder)
    cases = _cases(folder)
    held_out: set[str] = set()
    if fold is not None:
        trained, held_out = _fold(folder.parent / _SPLITS, fold)
        absent = sorted((trained | held_out) - set(cases))
        if absent:
            raise DatalistError(
                f"{folder}: must hold all cases of fold {fold}; found {len(absent)} absent, the first "
                f"{', '.join(absent[:3])}. Preprocess the data set anew: nnUNetv2_preprocess."
            )
        cases = {case: cases[case] for case in sorted(trained | held_out)}
    keys = {case: patient_key(case) for case in cases}
    section_of = split_patients((keys[case].key for case in cases if case not in held_out), (0.9, 0.1, 0.0), seed)
    datalist: dict[str, Any] = {"name": folder.resolve().parent.name, "preprocessed": folder.resolve().name}
    datalist["patient_keys"] = sorted({key.kind for key in keys.values()})
    labels = _label_names(folder.parent / "dataset.json")
    datalist |= {"labels": labels} if labels else {}
    datalist |= {section: [] for section in SECTIONS}
    for case, record in cases.items():
        section = "test" if case in held_out else section_of[keys[case].key]
        datalist[section].append({**record, "patient": keys[case].key})
    check_disjoint(datalist)
    return datalist


def _cases(folder: Path) -> dict[str, dict[str, str]]:
    if not folder.is_dir():
        raise DatalistError(f"{folder}: must be a folder; found none. Give nnUNet_preprocessed/DATASET/…_3d_fullres.")
    if (folder / "imagesTr").is_dir():
        raise DatalistError(
            f"{folder}: must hold preprocessed arrays; found raw images (imagesTr). List them by `medgenesis datalist "
            "--images`, which knows nnU-Net's folders."
        )
    for suffix in _SUFFIXES:
        found = sorted(path for path in folder.glob(f"*{suffix}") if not path.stem.endswith("_seg"))
        if found:
            return {path.stem: _record(path) for path in found}
    raise DatalistError(
        f"{folder}: must hold {', '.join(_SUFFIXES)} files; found none. Give nnUNet_preprocessed/DATASET/…_3d_fullres, "
        "which nnUNetv2_preprocess writes."
    )


def _record(path: Path) -> dict[str, str]:
    label = path if path.suffix == ".npz" else path.with_name(f"{path.stem}_seg{path.suffix}")
    return {"image": str(path), **({"label": str(label)} if label.is_file() else {})}


def _fold(path: Path, fold: int) -> tuple[set[str], set[str]]:
    try:
        folds = json.loads(path.read_text(encoding="utf-8"))
        chosen = folds[fold] if fold >= 0 else None
        return set(map(str, chosen["train"])), set(map(str, chosen["val"]))
    except FileNotFoundError as error:
        raise DatalistError(
            f"{path}: must say which cases a fold trains on; found no file. nnU-Net writes it when its first fold "
            "begins; write it yourself before, or leave out --fold."
        ) from error
    except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
        raise DatalistError(
            f"{path}: must be a list of folds, each with `train` and `val`, one of them number {fold}; found another "
            f"content ({type(error).__name__}: {error}). Choose one of its folds, counted from 0."
        ) from error


def _label_names(path: Path) -> dict[str, str]:
    """Of nnU-Net's `dataset.json`, whole numbers alone: a region is several labels."""
    if not path.is_file():
        return {}
    labels: Mapping[str, Any] = read_json_object(path).get("labels", {})
    if not all(isinstance(value, int) for value in labels.values()):
        logger.warning("%s: has regions, whose names are left out: label maps are learnt label by label", path)
        return {}
    return {str(value): name for name, value in labels.items()}
