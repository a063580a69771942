"""A study as the DICOM series that OHIF shows, made while it is asked for: nothing of a patient's header is in it."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage
from pydicom.valuerep import format_number_as_ds as _short

from medgenesis.errors import VolumeError
from medgenesis.io.volume_reader import VolumeReader
from medgenesis.storage.atomic import make_folder, replacing
from medgenesis.storage.fingerprints import fingerprint

_AXES = "LPS"  # right-handed: viewers sort slices along the normal of rows and columns, and so must label maps lie
_LPS = np.diag([-1.0, -1.0, 1.0])
_SHOWN = (0.5, 99.5)  # percentiles that become black and white
_STEPS = 60_000  # of 16 bits, for values that are no whole numbers


@lru_cache(maxsize=65_536)  # a name is looked for among all studies, at each slice
def uid_of(study: str, part: str) -> str:
    """A DICOM identifier that only names of studies decide; those of the hospital stay where they are."""
    return f"2.25.{int.from_bytes(hashlib.sha256(f'{part} {study}'.encode()).digest()[:16], 'big')}"


def display_file(image: str | Path, name: str, folder: str | Path) -> Path:
    """The file of a study in the axes that OHIF counts in: its own, or a copy in `folder` that is kept up to date.

    The copy's header says which file it is of, and of which time: of another folder, or of one that was put back, it
    is made anew.

    Raises:
        VolumeError: it cannot be read, or is no single volume.
    """
    image, copy = Path(image), Path(folder) / f"{name}.nii.gz"
    changed = image.stat().st_mtime_ns
    made_of = fingerprint([str(image.resolve()), changed, image.stat().st_size])
    if copy.is_file() and bytes(nib.load(copy).header["descrip"].item()).decode() == made_of:
        return copy
    if _lies_so(str(image), changed):
        return image
    array, affine = _volume(image)
    make_folder(Path(folder))
    turned = nib.Nifti1Image(array, affine).as_reoriented(_change(affine))
    turned.header["descrip"] = made_of
    with replacing(copy) as beside:
        nib.save(turned, beside)
    return copy


@lru_cache(maxsize=4096)
def _lies_so(image: str, _changed: int) -> bool:
    return np.array_equal(_change(_volume(image)[1]), [[0, 1], [1, 1], [2, 1]])


def _change(affine: np.ndarray) -> np.ndarray:
    return nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(_AXES))


def _volume(image: str | Path) -> tuple[np.ndarray, np.ndarray]:
    reader = VolumeReader()
    array, meta = reader.get_data(reader.read(image))
    if array.ndim != 3:
        raise VolumeError(
            f"{Path(image).name}: must be one volume to be shown in OHIF; found an array of {array.shape}. Use 3D "
            "Slicer."
        )
    return array, np.asarray(meta["affine"], dtype=float)


class ShownSeries(NamedTuple):
    """A volume as slices.

    Attributes:
        name: of the study, which stands where DICOM has the patient's name.
        modality: CT or MR, which OHIF's mode for MONAI Label asks for.
        values: (columns, rows, slices), 16 bits.
        slope: of the stored values; the intercept is `low`.
        low: see `slope`.
        axes: columns are the directions and sizes of a voxel in LPS millimetres.
        origin: centre of the first voxel.
    """

    name: str
    modality: str
    values: np.ndarray
    slope: float
    low: float
    axes: np.ndarray
    origin: np.ndarray

    def summary(self) -> Dataset:
        """What all slices share."""
        spacing = np.linalg.norm(self.axes, axis=0)
        black, white = np.percentile(self.values[::2, ::2, ::2], _SHOWN) * self.slope + self.low
        data = shown_header(self.name, self.modality)
        data.SOPClassUID = MRImageStorage if self.modality == "MR" else CTImageStorage
        data.FrameOfReferenceUID = uid_of(self.name, "frame")
        data.Columns, data.Rows = self.values.shape[:2]
        data.PixelSpacing = [_short(spacing[1]), _short(spacing[0])]
        data.SliceThickness = _short(spacing[2])
        data.ImageOrientationPatient = [_short(part) for part in (self.axes / spacing)[:, :2].T.ravel()]
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.SamplesPerPixel = 15, 1
        data.PixelRepresentation = int(self.values.dtype.kind == "i")
        data.PhotometricInterpretation = "MONOCHROME2"
        data.RescaleSlope, data.RescaleIntercept = _short(self.slope), _short(self.low)
        data.WindowCenter, data.WindowWidth = _short((black + white) / 2), _short(max(white - black, 1e-3))
        data.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
        return data

    def metadata(self) -> list[dict[str, Any]]:
        """DICOM JSON of each slice, without its pixels."""
        shared, found = self.summary(), []
        for number in range(self.values.shape[2]):
            data = Dataset()
            data.update(shared)
            data.SOPInstanceUID = f"{data.SeriesInstanceUID}.{number + 1}"
            data.InstanceNumber = number + 1
            data.ImagePositionPatient = [_short(part) for part in self.origin + number * self.axes[:, 2]]
            found.append(data.to_json_dict())
        return found

    def frame(self, instance: str) -> bytes:
        """Pixels of a slice, little endian.

        Raises:
            VolumeError: no such slice.
        """
        number = instance.rpartition(".")[2]
        if not number.isdecimal() or not 1 <= int(number) <= self.values.shape[2]:
            raise VolumeError(
                f"{self.name}: slices must be of 1 to {self.values.shape[2]}; found {number}. Reload the page."
            )
        values = self.values[:, :, int(number) - 1].T
        return values.astype(values.dtype.newbyteorder("<")).tobytes()


def shown_header(name: str, modality: str) -> Dataset:
    """Identifiers of a study, of which each has one series."""
    data = Dataset()
    data.PatientName = data.PatientID = data.StudyDescription = data.SeriesDescription = name
    data.StudyInstanceUID, data.SeriesInstanceUID = uid_of(name, "study"), uid_of(name, "series")
    data.Modality, data.SeriesNumber = modality, 1
    return data


def shown_series(file: str | Path, name: str, modality: str) -> ShownSeries:
    """The slices of a file, as `display_file` gives it; the latest are kept in memory.

    Raises:
        VolumeError: it cannot be read, or its axes are not at right angles.
    """
    return _read(str(file), Path(file).stat().st_mtime_ns, name, modality)


@lru_cache(maxsize=2)
def _read(file: str, _changed: int, name: str, modality: str) -> ShownSeries:
    array, affine = _volume(file)
    axes = _LPS @ affine[:3, :3]
    unit = axes / np.linalg.norm(axes, axis=0)
    if np.abs(unit.T @ unit - np.eye(3)).max() > 1e-3:
        raise VolumeError(f"{name}: axes must be at right angles to be shown in OHIF; found a shear. Use 3D Slicer.")
    low, high = float(array.min()), float(array.max())
    if np.array_equal(array, np.rint(array)) and -(2**15) <= low and high < 2**15:
        return ShownSeries(name, modality, array.astype(np.int16), 1.0, 0.0, axes, _LPS @ affine[:3, 3])
    slope = max(high - low, 1e-6) / _STEPS
    values = np.rint((array.astype(float) - low) / slope).astype(np.uint16)
    return ShownSeries(name, modality, values, slope, low, axes, _LPS @ affine[:3, 3])
