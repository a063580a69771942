"""DICOM: one folder, one series, with the checks that the common readers leave out; radiographs, one file each."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pydicom.uid
import SimpleITK as sitk
from monai.data import ImageReader
from monai.utils import ensure_tuple
from pydicom.errors import InvalidDicomError

from medgenesis.errors import VolumeError
from medgenesis.io.readers import LPS_TO_RAS, make_meta

_TAGS = (
    "SOPClassUID Modality SeriesInstanceUID SeriesNumber Rows Columns PixelSpacing SliceThickness NumberOfFrames "
    "ImagePositionPatient ImageOrientationPatient SamplesPerPixel PatientID StudyInstanceUID"
).split()
_RADIOGRAPHS = {"CR", "DX", "DR", "RG", "MG"}
_NOT_SCANS = {"SEG", "SR", "PR", "KO", "REG", "RTDOSE", "RTSTRUCT", "RTPLAN"}


class DicomReader(ImageReader):
    """Read the DICOM series of a folder (or one slice of it) with pydicom, in stored values times slope plus intercept.

    The array is (x, y, z) as `NibabelReader` gives it, slices sorted by their position along the slice normal; a single
    slice gives (x, y, 1). The step between slices may be oblique to them (gantry tilt): the affine holds the shear.
    A radiograph (modality CR or DX, for example, without a place in space) is an image, (x, y) on the LPS grid at 1 mm,
    bright where little came through.

    Notes:
        MONAI's `PydicomReader` sorts by InstanceNumber, takes the mean distance along the scanner's axis for the
        spacing, and so passes missing slices, sagittal series and mixed series without a word. Here these are checked.
        What pydicom has no decoder for (lossless JPEG, without further packages) is decoded by SimpleITK's GDCM.
    """

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """True for folders and for files that begin as DICOM files do."""
        return all(Path(name).is_dir() or is_dicom(name) for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs) -> list[pydicom.Dataset]:
        """The headers of one series, checked and sorted.

        Raises:
            VolumeError: no image, several series, differing sizes or orientations, a missing slice.
        """
        (name,) = ensure_tuple(data)
        headers = image_headers(name)
        if not headers:
            raise VolumeError(
                f"{name}: must hold DICOM slices; found no DICOM image in it. Give the folder that holds the slices of "
                "one series."
            )
        if len(headers) == 1 and is_radiograph(headers[0]):
            _check_one_grey_frame(name, headers)
            return headers
        _check_one_series(name, headers)
        _check_one_grey_frame(name, headers)
        _check_alike(name, headers)
        return _sorted_slices(name, headers)

    def get_data(self, img: list[pydicom.Dataset]) -> tuple[np.ndarray, dict]:
        """The array (x, y, z), or (x, y) of a radiograph, float32, and MONAI's meta data, affine in RAS millimetres."""
        if is_radiograph(img[0]):
            image = _slice_values(img[0].filename).T
            return image, make_meta(LPS_TO_RAS, image.shape)
        shape = (int(img[0].Columns), int(img[0].Rows), len(img))
        array = np.empty(shape, dtype=np.float32)
        for z, header in enumerate(img):
            array[..., z] = _slice_values(header.filename).T
        return array, make_meta(LPS_TO_RAS @ _lps_affine(img), shape)


def is_dicom(path: str | Path) -> bool:
    """Whether the file has the DICOM mark (`DICM` after 128 bytes)."""
    with Path(path).open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def is_radiograph(header: pydicom.Dataset) -> bool:
    """Whether a DICOM image is a projection: an image, without a place in space."""
    return header.get("Modality") in _RADIOGRAPHS and header.get("ImagePositionPatient") is None


def image_headers(path: str | Path) -> list[pydicom.Dataset]:
    """Headers of the DICOM images in a folder (not below it) or of one file; whatever else lies there is ignored."""
    path = Path(path)
    files = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]
    headers = (_image_header(file) for file in files)
    return [header for header in headers if header is not None]


def _image_header(file: Path) -> pydicom.Dataset | None:
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
    except InvalidDicomError:
        return None
    if "Rows" in header and header.get("Modality") not in _NOT_SCANS:
        return header
    kind = header.file_meta.get("MediaStorageSOPClassUID", header.get("SOPClassUID"))
    if "Rows" not in header and (kind is None or "Image Storage" in pydicom.uid.UID(kind).name):
        raise VolumeError(
            f"{file}: must be a whole DICOM file; found a header that ends before the image size, truncated. Copy it "
            "again."
        )
    return None


def _check_one_series(name: str | Path, headers: list[pydicom.Dataset]) -> None:
    slices = Counter(str(header.get("SeriesInstanceUID", "")) for header in headers)
    if len(slices) == 1:
        return
    numbers = {str(header.get("SeriesInstanceUID", "")): header.get("SeriesNumber") for header in headers}
    listed = "; ".join(
        f"series {'without number' if numbers[uid] is None else numbers[uid]}, {count} slices, UID …{uid[-8:]}"
        for uid, count in slices.most_common(8)
    )
    raise VolumeError(
        f"{name}: must hold one series; found {len(slices)} DICOM series in one folder ({listed}). Give each series "
        "its own folder."
    )


def _check_one_grey_frame(name: str | Path, headers: list[pydicom.Dataset]) -> None:
    if any(int(header.get(tag) or 1) > 1 for header in headers for tag in ("NumberOfFrames", "SamplesPerPixel")):
        raise VolumeError(
            f"{name}: must be single-frame grey DICOM; found multi-frame or colour DICOM. Convert it to NIfTI, by "
            "dcm2niix for example."
        )


def _check_alike(name: str | Path, headers: list[pydicom.Dataset]) -> None:
    for tag in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        lacking = sum(header.get(tag) is None for header in headers)
        if lacking:
            raise VolumeError(
                f"{name}: slices must have {tag}, which gives their place; found {lacking} of {len(headers)} without. "
                "Convert the scan to NIfTI with a tool that knows its vendor (X-rays: one file each, not their folder)."
            )
    for tag, tolerance in (("Rows", 0), ("Columns", 0), ("PixelSpacing", 1e-3), ("ImageOrientationPatient", 1e-3)):
        values = np.array([np.atleast_1d(header.get(tag)) for header in headers], dtype=float)
        if np.abs(values - values[0]).max() > tolerance:
            raise VolumeError(
                f"{name}: slices must agree in {tag}; found {values.min(0).tolist()} to {values.max(0).tolist()}, as "
                "of localizers or several scans in one series. Keep the slices of one scan."
            )


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


def _lps_affine(headers: list[pydicom.Dataset]) -> np.ndarray:
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


def _slice_values(file: str | Path) -> np.ndarray:
    dataset = pydicom.dcmread(file)
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise VolumeError(f"{file}: must be a whole DICOM file; found no pixels in it, truncated. Copy it again.")
    try:
        stored = dataset.pixel_array
    except (NotImplementedError, RuntimeError):  # a compression for which no decoder is installed: GDCM has its own
        return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0].astype(np.float32)
    if is_radiograph(dataset) and dataset.get("PhotometricInterpretation") == "MONOCHROME1":  # bright is dark
        stored = (1 << int(dataset.BitsStored)) - 1 - stored.astype(np.int64)
    slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
    return (stored * float(slope) + float(intercept)).astype(np.float32)
