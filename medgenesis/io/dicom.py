"""DICOM: one series of a folder, with the checks that the common readers leave out; radiographs, one file each."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from monai.data import ImageReader
from monai.utils import ensure_tuple

from medgenesis.errors import VolumeError
from medgenesis.io.dicom_files import folder_files, is_dicom, is_image, is_radiograph, read_header, transfer_syntax
from medgenesis.io.dicom_series import choose_series, lps_affine, once, sorted_series
from medgenesis.io.readers import LPS_TO_RAS, make_meta

try:
    from pydicom.pixels import apply_modality_lut
except ImportError:  # pydicom 2.4, which MONAI Label 0.8.5 needs
    from pydicom.pixel_data_handlers import apply_modality_lut

_FOR_PROCESSING = {f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("1.1.1", "1.2.1", "1.3.1")}  # DX, MG, IO


class DicomReader(ImageReader):
    """Read the DICOM series of a folder (or one slice of it) with pydicom, in stored values times slope plus intercept.

    The array is (x, y, z) as `NibabelReader` gives it, slices sorted by their position along the slice normal; a single
    slice gives (x, y, 1). The step between slices may be oblique to them (gantry tilt): the affine holds the shear.
    A radiograph (SOP class or modality CR, DX, MG or IO, without a place in space) is an image, (x, y) on the LPS grid
    at 1 mm, as it is looked at: MONOCHROME1, where small values are bright, is inverted. One that is meant for
    processing is bright where little came through: inverted where PixelIntensityRelationshipSign is 1, whatever its
    photometric interpretation; without that sign, as MONOCHROME1 and 2 say. Of volumes too MONOCHROME1 is inverted,
    with a warning.

    Args:
        series: which series of the folder, as `medgenesis.io.dicom_files.series_of` names it; None where there is one.

    Notes:
        MONAI's `PydicomReader` sorts by InstanceNumber, takes the mean distance along the scanner's axis for the
        spacing, and so passes missing slices, sagittal series and mixed series without a word. Here these are checked.
        What pydicom has no decoder for (lossless JPEG, without further packages) is decoded by SimpleITK's GDCM.

    References:
        DICOM PS3.3, C.8.11.3.1.2: of sign 1 higher values mean more X-ray intensity, of sign -1 less.
    """

    def __init__(self, series: str | None = None) -> None:
        self.series = series

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """True for folders and for files that begin as DICOM files do, or are named as such."""
        return all(Path(name).is_dir() or is_dicom(name) for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs) -> list[pydicom.Dataset]:
        """The headers of one series, checked and sorted.

        Raises:
            VolumeError: no image, several series, a slice that cannot be read or is missing, differing sizes or
                orientations.
        """
        (name,) = ensure_tuple(data)
        if Path(name).is_dir():
            return sorted_series(name, choose_series(name, folder_files(name), self.series))
        header = read_header(Path(name))
        if header is None or not is_image(header):
            raise VolumeError(
                f"{name}: must be a DICOM image; found a DICOM file without one, a report for example. Give a slice, "
                "or the folder that holds the slices of one series."
            )
        return sorted_series(name, [header])

    def channels(self, path: Path) -> int:
        """One, of any."""
        return 1

    def get_data(self, img: list[pydicom.Dataset]) -> tuple[np.ndarray, dict]:
        """The array (x, y, z), or (x, y) of a radiograph, float32, and MONAI's meta data, affine in RAS millimetres."""
        if is_radiograph(img[0]):
            image = _slice_values(img[0].filename).T
            return image, make_meta(LPS_TO_RAS, image.shape)
        shape = (int(img[0].Columns), int(img[0].Rows), len(img))
        array = np.empty(shape, dtype=np.float32)
        if _is_monochrome1(img[0]):
            once(
                f"{Path(img[0].filename).parent}: MONOCHROME1, small values are bright: what is stored is inverted, as "
                "GDCM does. Where they are Hounsfield units as they are, have them exported as MONOCHROME2"
            )
        for z, header in enumerate(img):
            array[..., z] = _slice_values(header.filename).T
        return array, make_meta(LPS_TO_RAS @ lps_affine(img), shape)


def _slice_values(file: str | Path) -> np.ndarray:
    dataset = pydicom.dcmread(file, force=True)  # read_header has looked at it before
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise VolumeError(f"{file}: must be a whole DICOM file; found no pixels in it, truncated. Copy it again.")
    dataset.file_meta.TransferSyntaxUID = transfer_syntax(dataset)
    _check_bits(file, dataset)
    slope, intercept = _rescaling(file, dataset)
    try:
        stored = dataset.pixel_array
    except (NotImplementedError, RuntimeError):  # a compression for which no decoder is installed: GDCM has its own
        values = _by_gdcm(file)  # MONOCHROME1 inverted, tables left aside
        turn = is_negative(dataset) != _is_monochrome1(dataset)
        if not turn and not dataset.get("ModalityLUTSequence"):
            return values
        stored = np.rint((values - intercept) / slope).astype(np.int64)
    except Exception as error:  # pydicom has many for damaged pixels
        raise _damaged(file, error) from error
    else:
        stored = own_bits(stored, int(dataset.get("BitsStored") or 0))
        turn = is_negative(dataset)
    if turn:
        unsigned = not dataset.get("PixelRepresentation")
        stored = ((1 << int(dataset.BitsStored)) if unsigned else 0) - 1 - stored.astype(np.int64)
    if dataset.get("ModalityLUTSequence"):
        return _by_table(stored, dataset)
    return (stored * slope + intercept).astype(np.float32)


def _is_monochrome1(dataset: pydicom.Dataset) -> bool:
    return dataset.get("PhotometricInterpretation") == "MONOCHROME1"


def is_negative(dataset: pydicom.Dataset) -> bool:
    """Whether the stored values are turned round when they are read: small ones are bright, or, of a radiograph for
    processing, which nobody looks at, bone is dark."""
    intent = str(dataset.get("PresentationIntentType") or "").upper()
    raw = intent == "FOR PROCESSING" or (not intent and dataset.get("SOPClassUID") in _FOR_PROCESSING)
    sign = dataset.get("PixelIntensityRelationshipSign")
    if raw and sign in (1, -1) and is_radiograph(dataset):
        return sign == 1
    return _is_monochrome1(dataset)


def own_bits(stored: np.ndarray, bits: int) -> np.ndarray:
    """The values in the lowest `bits`, with their sign: the others may hold an overlay, or lack the sign.

    Before 3.0, pydicom leaves that to who reads; of values without such bits nothing changes.
    """
    spare = 8 * stored.dtype.itemsize - bits
    return (stored << spare) >> spare if bits and spare > 0 and stored.dtype.kind in "iu" else stored


def _check_bits(file: str | Path, dataset: pydicom.Dataset) -> None:
    """Neither pydicom nor GDCM shifts values that lie in other bits than the lowest: both cut off their upper bits."""
    lowest = int(dataset.get("BitsStored") or 0) - 1
    if int(dataset.get("HighBit") or 0) not in (0, lowest):
        raise VolumeError(
            f"{file}: HighBit must be BitsStored - 1 = {lowest}; found {dataset.HighBit}, so that values may lack "
            "their upper bits. Export the series again, or correct HighBit if the values are right as they are."
        )


def _by_table(stored: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    return apply_modality_lut(stored, dataset).astype(np.float32)


def _by_gdcm(file: str | Path) -> np.ndarray:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    try:
        return sitk.GetArrayFromImage(reader.Execute())[0].astype(np.float32)
    except RuntimeError as error:
        raise _damaged(file, error) from error


def _damaged(file: str | Path, error: Exception) -> VolumeError:
    reason = " ".join(str(error).split())[-200:] or type(error).__name__
    return VolumeError(f"{file}: cannot be read, truncated or damaged ({reason}). Copy it again.")


def _rescaling(file: str | Path, dataset: pydicom.Dataset) -> tuple[float, float]:
    """Slope and intercept; 1 and 0 where they are absent or empty."""
    given = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    slope, intercept = (
        default if value in (None, "") else float(value) for value, default in zip(given, (1.0, 0.0), strict=True)
    )
    if slope == 0 or not (math.isfinite(slope) and math.isfinite(intercept)):
        raise VolumeError(
            f"{file}: RescaleSlope must be finite and not 0; found {slope} with intercept {intercept}. Export the "
            "series again."
        )
    return slope, intercept
