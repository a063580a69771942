"""A phantom as a DICOM CT series, one file a slice."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medgenesis.datasets.phantom.build import Phantom

INTERCEPT_HU = -1024


def write_series(phantom: Phantom, folder: Path, patient: str, entropy: str) -> None:
    """Write the series into an existing, empty folder.

    Args:
        phantom: its array axes grow to Left, Posterior, Superior, so rows and columns are DICOM's own axes.
        folder: gets slice_000.dcm (the lowest) and so on.
        patient: stands in PatientName and PatientID.
        entropy: all UIDs are derived from it, so the same phantom has the same UIDs.
    """
    common = _common(phantom, patient, entropy)
    origin = phantom.affine[:3, 3] * (-1, -1, 1)
    for k in range(phantom.image.shape[2]):
        path = folder / f"slice_{k:03d}.dcm"
        instance = generate_uid(entropy_srcs=[entropy, "slice", str(k)])
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = instance
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset(str(path), common, file_meta=meta, preamble=b"\0" * 128)
        data.SOPInstanceUID = instance
        data.InstanceNumber = k + 1
        z = origin[2] + k * phantom.affine[2, 2]
        data.ImagePositionPatient = [_decimal(v) for v in (origin[0], origin[1], z)]
        data.SliceLocation = _decimal(z)
        stored = phantom.image[:, :, k].T.astype(np.int32) - INTERCEPT_HU
        data.PixelData = stored.astype("<u2").tobytes()
        save_dataset(data, path)


def _common(phantom: Phantom, patient: str, entropy: str) -> dict:
    """The elements that all slices share."""
    spacing = phantom.spacing_mm
    data = pydicom.Dataset()
    data.SOPClassUID = CTImageStorage
    data.Modality = "CT"
    data.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    data.Manufacturer = "medgenesis"
    data.SeriesDescription = "Computed thorax phantom"
    data.BodyPartExamined = "CHEST"
    data.PatientName = data.PatientID = patient
    data.PatientBirthDate = ""
    data.PatientSex = "F" if phantom.subject.female else "M"
    data.PatientPosition = "HFS"
    data.StudyInstanceUID = generate_uid(entropy_srcs=[entropy, "study"])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=[entropy, "series"])
    data.FrameOfReferenceUID = generate_uid(entropy_srcs=[entropy, "frame"])
    data.StudyDate = data.StudyTime = data.AccessionNumber = data.ReferringPhysicianName = ""
    data.StudyID = data.SeriesNumber = "1"
    data.PositionReferenceIndicator = ""
    data.KVP = "120"
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
    data.SliceThickness = data.SpacingBetweenSlices = _decimal(spacing[2])
    data.Rows, data.Columns = phantom.image.shape[1], phantom.image.shape[0]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = INTERCEPT_HU, 1, "HU"
    data.WindowCenter, data.WindowWidth = 40, 400
    return data


def _decimal(value: float) -> str:
    """A DICOM decimal string holds 16 characters."""
    return f"{value:.10g}"


def save_dataset(data: FileDataset, path: Path) -> None:
    """Write a conforming file, in explicit little endian.

    pydicom 3 renamed the argument that asks for it; 2.4 also wants the encoding said twice.
    """
    if int(pydicom.__version__.split(".")[0]) >= 3:
        data.save_as(path, enforce_file_format=True)
        return
    data.is_little_endian, data.is_implicit_VR = True, False
    data.save_as(path, write_like_original=False)
