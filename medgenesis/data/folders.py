"""Datalists made from folders: images, label maps beside them, DICOM series."""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from medgenesis.data.intensity import check_preset
from medgenesis.data.labels import parse_label_merge
from medgenesis.data.patients import patient_of
from medgenesis.data.splits import SECTIONS, check_disjoint, split_patients
from medgenesis.errors import DatalistError
from medgenesis.io.dicom import image_headers, is_dicom, is_radiograph
from medgenesis.io.readers import ArrayReader, open_array
from medgenesis.io.volume_reader import SUFFIXES

logger = logging.getLogger(__name__)

_DICOM_SUFFIXES = (".dcm", ".ima")
_FILE_SUFFIXES = tuple(sorted(set(SUFFIXES) - set(_DICOM_SUFFIXES), key=len, reverse=True))  # .nii.gz before .gz


def make_datalist(
    images: str | Path,
    labels: str | Path | None = None,
    *,
    splits: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    patient_pattern: str | None = None,
    label_merge: Mapping[int | str, Any] | None = None,
    label_names: Mapping[str, str] | None = None,
    modality: str = "CT",
    name: str | None = None,
    only: str = "*",
    intensity: str | None = None,
) -> dict[str, Any]:
    """A datalist of what lies in a folder, split by patient.

    Args:
        images: folder with scans at any depth; a folder of DICOM slices is one scan, a DICOM radiograph one each, a
            stack of cubes one record a row.
        labels: folder with a label map for each image, of the same path and name (the suffix may differ, and nnU-Net's
            `_0000` is passed over).
        splits: shares of the patients for training, validation and test.
        seed: of the split.
        patient_pattern: regular expression that finds the patient in an image's path below `images`; None takes the
            first folder, else the file name (see `patient_of`), and for DICOM a hash of the PatientID.
        label_merge: target label -> source labels, `{1: "10-14"}`; noted in the list.
        label_names: label -> name; noted in the list.
        modality: noted in the list.
        name: of the list; None takes the folder's.
        only: shell pattern of the names that are scans (`ct*.nii.gz`), where other files lie beside them.
        intensity: preset that each record shall have of its own ("xray"), for a list that is joined with other kinds.

    Raises:
        ValueError: an unknown preset.
        DatalistError: empty folder, images without label map or the reverse, a patient in two sections.
    """
    images = Path(images)
    if not images.is_dir():
        raise DatalistError(f"{images}: must be a folder; found none. Give the folder that holds the images.")
    datalist: dict[str, Any] = {"name": name or images.resolve().name, "modality": {"0": modality}}
    if label_names:
        datalist["labels"] = {"0": "background", **{str(int(key)): value for key, value in label_names.items()}}
    if label_merge:
        merge = parse_label_merge(label_merge)
        datalist["label_merge"] = {str(target): sources for target, sources in merge.items()}
    if intensity is not None:
        check_preset(intensity)
    records = _folder(images, labels, splits, seed, patient_pattern, only)
    own = {} if intensity is None else {"intensity": intensity}
    datalist |= {section: [{**record, **own} for record, place in records if place == section] for section in SECTIONS}
    check_disjoint(datalist)
    counts = ", ".join(f"{len(datalist[section])} {section}" for section in SECTIONS)
    patients = len({record["patient"] for record, _ in records})
    logger.info("%d records of %d patients: %s", len(records), patients, counts)
    return datalist


def _folder(images, labels, splits, seed, pattern, only) -> list[tuple[dict, str]]:
    found = {name: path for name, path in _scans(images, leave_out=labels) if fnmatch(path.name, only)}
    if not found:
        named = "" if only == "*" else f" named {only!r}"
        raise DatalistError(
            f"{images}: must hold {', '.join(SUFFIXES)} files or DICOM series; found no scan{named} in it. Give the "
            "folder of the images."
        )
    label_of = {} if labels is None else _pair(found, dict(_scans(Path(labels))), images, labels)
    records = []
    for relative, scan in found.items():
        record = {"image": str(scan), "patient": _patient(relative, scan, pattern)}
        if labels is not None:
            record["label"] = str(label_of[relative])
        records += rows_of(record)
    section_of = split_patients((record["patient"] for record in records), splits, seed)
    return [(record, section_of[record["patient"]]) for record in records]


def _scans(folder: Path, leave_out: str | Path | None = None) -> Iterator[tuple[str, Path]]:
    """Path below the folder without suffix, and path, of each scan."""
    excluded = None if leave_out is None else Path(leave_out).resolve()
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if excluded is not None and Path(here).resolve() == excluded and excluded != folder.resolve():
            folders[:] = []
            continue
        names = sorted(name for name in files if not name.startswith("."))
        scans = [name for name in names if name.lower().endswith(_FILE_SUFFIXES)]
        for name in scans:
            suffix = next(suffix for suffix in _FILE_SUFFIXES if name.lower().endswith(suffix))
            path = Path(here, name)
            yield path.relative_to(folder).as_posix()[: -len(suffix)], path
        others = [name for name in names if name not in scans]
        likely = [name for name in others if name.lower().endswith(_DICOM_SUFFIXES)] or others
        first = next((Path(here, name) for name in likely[:5] if is_dicom(Path(here, name))), None)
        if first is None:
            continue
        if any(map(is_radiograph, image_headers(first))):  # one image a file, where slices make one scan a folder
            for path in filter(is_dicom, (Path(here, name) for name in likely)):
                relative = path.relative_to(folder).as_posix()
                yield relative[:-4] if relative.lower().endswith(_DICOM_SUFFIXES) else relative, path
        else:
            path = Path(here)
            yield path.relative_to(folder).as_posix() if path != folder else path.resolve().name, path


def _pair(images: dict[str, Path], labels: dict[str, Path], images_dir, labels_dir) -> dict[str, Path]:
    by_key = {relative.removesuffix("_0000"): path for relative, path in labels.items()}
    keys = {relative: relative.removesuffix("_0000") for relative in images}
    for kind, lacking, there in (
        ("label map(s)", [relative for relative, key in keys.items() if key not in by_key], labels_dir),
        ("image(s)", sorted(by_key.keys() - set(keys.values())), images_dir),
    ):
        if lacking:
            raise DatalistError(
                f"{there}: must hold {kind} of the same names; found none for {len(lacking)}, the first "
                f"{', '.join(lacking[:3])}. Add them, or move what has no partner elsewhere."
            )
    return {relative: by_key[key] for relative, key in keys.items()}


def _patient(relative: str, scan: Path, pattern: str | None) -> str:
    if pattern is None and not scan.name.lower().endswith(_FILE_SUFFIXES):
        files = sorted(scan.iterdir()) if scan.is_dir() else [scan]
        first = next(entry for entry in files if entry.is_file() and is_dicom(entry))
        header = (image_headers(first) or [{}])[0]
        identity = header.get("PatientID") or header.get("StudyInstanceUID")
        if identity:
            return hashlib.sha256(str(identity).encode()).hexdigest()[:12]
    return patient_of(relative, pattern)


def rows_of(record: dict) -> list[dict]:
    """The record itself, or one for each row where its image is a stack of cubes."""
    image = record["image"]
    if not image.lower().endswith(ArrayReader.suffixes):
        return [record]
    shape = open_array(image).shape
    return [record] if len(shape) < 4 else [{**record, "cube": row} for row in range(shape[0])]
