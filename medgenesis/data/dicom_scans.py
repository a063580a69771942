"""The DICOM series and radiographs of a folder, each a scan if `DicomReader` would read it; the rest is named."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pydicom

from medgenesis.data.left_out import LeftOut
from medgenesis.data.patients import PatientKey, without_additions
from medgenesis.errors import VolumeError
from medgenesis.io.dicom_files import DICOM_SUFFIXES, DicomFiles, is_localizer, is_radiograph, series_of, sort_files
from medgenesis.io.dicom_series import sorted_series

WITHOUT_VISIT = "hash of PatientID without visit"
"""The kind of a key whose ID holds more than the patient (`TRIAL-001_V2`); lists of before have hashes of the whole."""


class DicomScan(NamedTuple):
    """A series or a radiograph."""

    path: Path
    """The folder of the series; the file of a radiograph."""
    name: str
    """The path, without the suffix; of one series of several in a folder, with the number of the series below it."""
    patient: PatientKey | None
    """By the PatientID, else the study; None where the file says neither."""
    series: str | None = None
    """Which series of the folder, where it holds several."""


def dicom_scans(folder: Path, files: Sequence[Path], left_out: LeftOut) -> tuple[list[DicomScan], list[Path]]:
    """The scans among the files of one folder, and the files that are no DICOM."""
    found = sort_files(files)
    for file in found.others:
        left_out.add(file, "DICOM without a scan, as DICOMDIR, reports and segmentations")
    lost = found.unreadable_slices()
    for file, why in lost.items():
        left_out.add(file, f"DICOM that cannot be read, {why}")
    foreign = [*found.foreign, *(file for file in found.unreadable if file not in lost)]
    return [*_radiographs(found, left_out), *_series(folder, found, bool(lost), left_out)], foreign


def _radiographs(found: DicomFiles, left_out: LeftOut) -> list[DicomScan]:
    scans = []
    for header in filter(is_radiograph, found.images):
        path = Path(header.filename)
        if _can_be_read(path, [header], left_out):
            name = path.with_suffix("") if path.name.lower().endswith(DICOM_SUFFIXES) else path
            scans.append(DicomScan(path, name.as_posix(), _patient(header)))
    return scans


def _series(folder: Path, found: DicomFiles, incomplete: bool, left_out: LeftOut) -> list[DicomScan]:
    by_series: dict[str, list[pydicom.Dataset]] = {}
    for header in found.images:
        if is_localizer(header):
            left_out.add(Path(header.filename), "localizer")
        else:
            by_series.setdefault(series_of(header), []).append(header)
    scans = []
    for series, headers in by_series.items():
        if is_radiograph(headers[0]):
            continue
        alone = len(by_series) == 1
        number = headers[0].get("SeriesNumber")
        part = folder if alone else folder / f"{'series' if number is None else number}-{series}"
        if incomplete:
            left_out.add(part, "series of a folder in which slices cannot be read")
        elif _can_be_read(part, headers, left_out):
            scans.append(DicomScan(folder, part.as_posix(), _patient(headers[0]), None if alone else series))
    return scans


def _can_be_read(path: Path, headers: list[pydicom.Dataset], left_out: LeftOut) -> bool:
    try:
        sorted_series(path, headers)
    except VolumeError as error:
        left_out.add(path, _reason(str(error).removeprefix(f"{path}: ")))
        return False
    return True


def _reason(message: str) -> str:
    """A reader's message for many files: rule and remedy, and what was found where that is short."""
    rule, _, rest = message.partition("; found ")
    found, _, remedy = rest.partition(". ")
    return f"{rule}; found {found}. {remedy}".rstrip(". ") if len(found) < 60 else f"{rule}. {remedy}".rstrip(". ")


def _patient(header: pydicom.Dataset) -> PatientKey | None:
    for tag in ("PatientID", "StudyInstanceUID"):
        identity = str(header.get(tag) or "").strip()
        if identity:
            patient = without_additions(identity) if tag == "PatientID" else identity
            key = hashlib.sha256(patient.encode(errors="surrogateescape")).hexdigest()[:12]
            kind = f"hash of {tag}" if patient == identity else WITHOUT_VISIT
            return PatientKey(key, kind, patient if tag == "PatientID" else "")
    return None
