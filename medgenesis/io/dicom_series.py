"""One DICOM series of a folder: chosen, checked for what the common readers pass over, and put in order."""

import contextlib
import functools
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom

from medgenesis.errors import VolumeError
from medgenesis.io.dicom_files import DicomFiles, is_localizer, is_one_grey_frame, is_radiograph, series_of

logger = logging.getLogger(__name__)


def choose_series(name: str | Path, files: DicomFiles, series: str | None = None) -> list[pydicom.Dataset]:
    """The headers of one series of a folder; localizers are left out where there are other images.

    Args:
        name: of the folder, for messages.
        files: what lies in it.
        series: which one, as `series_of` names it; None where there is one alone.

    Raises:
        VolumeError: no image, no such series, several, or files of the slices that cannot be read.
    """
    lost = files.unreadable_slices()
    if lost:
        first = next(iter(lost))
        raise VolumeError(
            f"{name}: each slice must be readable; found {len(lost)} of {len(lost) + len(files.images)} that are "
            f"empty, truncated or damaged, the first {first.name} ({lost[first]}). Copy the series again."
        )
    listed = "; ".join(f"{file.name}: {why}" for file, why in list(files.unreadable.items())[:3])
    if files.unreadable:
        listed = f" beside {len(files.unreadable)} empty or unreadable files not named as slices ({listed})"
        once(f"{name}: left out what lies{listed}")
    headers = [header for header in files.images if series in (None, series_of(header))]
    if not headers:
        asked = "DICOM slices" if series is None else f"the series {series}"
        raise VolumeError(
            f"{name}: must hold {asked}; found no DICOM image{'' if series is None else ' of it'} in it{listed}. Give "
            "the folder that holds the slices of one series."
        )
    scans = [header for header in headers if not is_localizer(header)]
    if scans and len(scans) < len(headers):
        once(f"{name}: left out {len(headers) - len(scans)} localizer(s) beside the {len(scans)} slices")
        headers = scans
    _check_one_series(name, headers)
    return headers


def sorted_series(name: str | Path, headers: list[pydicom.Dataset]) -> list[pydicom.Dataset]:
    """The headers of one series, checked, in the order of their places; of a radiograph as it is.

    Raises:
        VolumeError: several frames or colours, differing sizes or orientations, a missing or repeated slice.
    """
    _check_one_grey_frame(name, headers)
    if len(headers) == 1 and is_radiograph(headers[0]):
        return headers
    _check_alike(name, headers)
    _warn_of_absent(name, headers)
    return _sorted_slices(name, headers)


def lps_affine(headers: list[pydicom.Dataset]) -> np.ndarray:
    """The (4, 4) matrix from (column, row, slice) to LPS millimetres, of sorted slices."""
    first = headers[0]
    orientation = np.array(first.ImageOrientationPatient, dtype=float)
    between_rows, between_columns = (float(value) for value in first.PixelSpacing)
    positions = _positions(headers)
    if len(headers) > 1:
        step = (positions[-1] - positions[0]) / (len(headers) - 1)
    else:
        step = _normal(first) * float(first.get("SliceThickness") or 1)
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * between_columns
    affine[:3, 1] = orientation[3:] * between_rows
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    return affine


def _check_one_series(name: str | Path, headers: list[pydicom.Dataset]) -> None:
    slices = Counter(map(series_of, headers))
    if len(slices) == 1:
        return
    numbers = {series_of(header): header.get("SeriesNumber") for header in headers}
    listed = "; ".join(
        f"{one}: series {'without number' if numbers[one] is None else numbers[one]}, {count} slices"
        for one, count in slices.most_common(8)
    )
    raise VolumeError(
        f"{name}: must hold one series; found {len(slices)} DICOM series in one folder ({listed}). Name one by "
        "`series` in its record (`medgenesis datalist` does), or give each series its own folder."
    )


def _check_one_grey_frame(name: str | Path, headers: list[pydicom.Dataset]) -> None:
    if not all(map(is_one_grey_frame, headers)):
        raise VolumeError(
            f"{name}: must be single-frame grey DICOM; found multi-frame or colour DICOM. Convert it to NIfTI, by "
            "dcm2niix for example; frames of ultrasound, and photographs, to PNG."
        )


def _check_alike(name: str | Path, headers: list[pydicom.Dataset]) -> None:
    for tag in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        lacking = sum(header.get(tag) is None for header in headers)
        if lacking:
            modality = headers[0].get("Modality") or "no Modality"
            raise VolumeError(
                f"{name}: slices must have {tag}, which gives their place; found {lacking} of {len(headers)} without "
                f"({modality}; radiographs have a SOP class or Modality of CR, DX, MG or IO). A scan: convert it to "
                "NIfTI with a tool that knows its vendor. A 2D image: save it as PNG, or set Modality. Radiographs: "
                "one file each, not their folder."
            )
    for tag, tolerance in (("Rows", 0), ("Columns", 0), ("PixelSpacing", 1e-3), ("ImageOrientationPatient", 1e-3)):
        values = np.array([np.atleast_1d(header.get(tag)) for header in headers], dtype=float)
        if np.abs(values - values[0]).max() > tolerance:
            raise VolumeError(
                f"{name}: slices must agree in {tag}; found {values.min(0).tolist()} to {values.max(0).tolist()}, as "
                "of localizers or several scans in one series. Keep the slices of one scan."
            )


def _warn_of_absent(name: str | Path, headers: list[pydicom.Dataset]) -> None:
    """Slices absent at an end leave no gap: what the files say of their number is all that tells."""
    if len(headers) == 1:  # one slice is asked for by its file
        return
    numbers, counts = _whole_numbers(headers, "InstanceNumber"), _whole_numbers(headers, "ImagesInAcquisition")
    said = []
    if numbers and max(numbers) > len(headers):
        said.append(f"InstanceNumber goes from {min(numbers)} to {max(numbers)}")
    if counts and max(counts) > len(headers):
        said.append(f"ImagesInAcquisition is {max(counts)}")
    if said:
        once(f"{name}: {len(headers)} slices found, but {' and '.join(said)}: some at an end may be absent")


def _whole_numbers(headers: list[pydicom.Dataset], tag: str) -> list[int]:
    found = []
    for header in headers:
        with contextlib.suppress(TypeError, ValueError, OverflowError):  # absent, several, or damaged
            found.append(int(header.get(tag)))
    return found


def _sorted_slices(name: str | Path, headers: list[pydicom.Dataset]) -> list[pydicom.Dataset]:
    along = _positions(headers) @ _normal(headers[0])
    order = np.argsort(along, kind="stable")
    headers = [headers[i] for i in order]
    _check_repeated(name, np.diff(along[order]))
    if len(headers) < 3:  # one step at most: nothing to compare it with
        return headers
    steps = np.diff(_positions(headers), axis=0)
    usual = np.median(steps, axis=0)
    size = np.linalg.norm(usual)
    away = np.linalg.norm(steps - usual, axis=1)
    if away.max() > max(0.05 * size, min(0.15, 0.5 * size)):  # positions are often rounded to 0.1 mm
        worst = int(away.argmax())
        raise VolumeError(
            f"{name}: slices must be evenly spaced; found slices missing or unevenly spaced, as the step after "
            f"slice {worst + 1} of {len(headers)} is {np.linalg.norm(steps[worst]):.3g} mm, the usual one "
            f"{size:.3g} mm. Export the series again, or resample it to even slices."
        )
    return headers


def _check_repeated(name: str | Path, gaps: np.ndarray) -> None:
    repeated = int((gaps < 1e-3).sum())
    if repeated:
        raise VolumeError(
            f"{name}: each slice must have its own position; found {repeated} slices that lie where another one lies, "
            "as copies, time points or echoes. Keep one slice for each position."
        )


def _positions(headers: list[pydicom.Dataset]) -> np.ndarray:
    return np.array([header.ImagePositionPatient for header in headers], dtype=float)


def _normal(header: pydicom.Dataset) -> np.ndarray:
    orientation = np.array(header.ImageOrientationPatient, dtype=float)
    return np.cross(orientation[:3], orientation[3:])


@functools.lru_cache(maxsize=10_000)
def once(message: str) -> None:
    """Warn once in each process, however often a folder is read."""
    logger.warning("%s", message)
