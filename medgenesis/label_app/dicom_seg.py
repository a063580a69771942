"""DICOM SEG, for studies that came as DICOM: segments have names, and the series that they lie on.

Notes:
    `itkimage2segimage` leaves empty slices out; they are there again when it is read.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from medgenesis.errors import VolumeError
from medgenesis.io.dicom_files import folder_files, series_of
from medgenesis.io.suffixes import split_suffix
from medgenesis.label_app.results import colour_of
from medgenesis.label_app.studies import SOURCES

DICOM_SEG = ".dcm"


def series_files(image: str | Path) -> list[Path]:
    """The DICOM slices that a study was converted from.

    Args:
        image: file of the study, in an app's folder or in the cache of a DICOMweb server.

    Raises:
        VolumeError: it was no DICOM series.
    """
    image = Path(image)
    cached = image.parent / split_suffix(image.name)[0]  # MONAI Label's, of DICOMweb
    if cached.is_dir():
        return sorted(file for file in cached.iterdir() if file.is_file())
    sources = image.parent / SOURCES
    source = json.loads(sources.read_text(encoding="utf-8")).get(image.name) if sources.is_file() else None
    if source is None or not Path(source).is_dir():
        raise VolumeError(
            f"result_extension: {DICOM_SEG} must be asked of studies that are DICOM series; found {image.name}. Ask "
            "for .nii.gz or .nrrd."
        )
    named = split_suffix(image.name)[0].removeprefix("series_")[:12]
    headers = folder_files(source).images
    own = [header for header in headers if series_of(header) == named]
    return [Path(header.filename) for header in own or headers]


def write_dicom_seg(result: str | Path, image: str | Path, classes: Mapping[str, int], model: str) -> str:
    """Write a label map as DICOM SEG, by dcmqi; the file of the label map is removed.

    Args:
        result: NIfTI, on the grid of the study.
        image: file of the study.
        classes: name -> value, of what is in the result.
        model: name of the new series.

    Returns:
        The file; whoever sends it removes it.

    Raises:
        VolumeError: the study was no DICOM series, or nothing is in the result.
    """
    from monailabel.datastore.utils.convert import nifti_to_dicom_seg

    files = series_files(image)
    if shutil.which("itkimage2segimage") is None:
        Path(result).unlink()
        raise VolumeError(
            f"{Path(image).name}: must become DICOM SEG by itkimage2segimage; found no such program. Install dcmqi "
            "(`pip install dcmqi`), or ask for .nii.gz."
        )
    if not classes:
        Path(result).unlink()
        raise VolumeError(
            f"result: must have a segment to become DICOM SEG; found none in {Path(image).name}. Ask for .nii.gz."
        )
    ordered = sorted(classes.items(), key=lambda one: one[1])
    info = [
        {"name": name, "description": name, "color": colour_of(value), "model_name": model} for name, value in ordered
    ]
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            (Path(folder) / f"{number:05d}.dcm").symlink_to(file.absolute())
        written = nifti_to_dicom_seg(folder, str(result), info)
    Path(result).unlink()
    if not written or not Path(written).is_file():
        raise VolumeError(
            f"{Path(image).name}: must become DICOM SEG; found that itkimage2segimage failed, see the server's log. "
            "Install dcmqi (`pip install dcmqi`), or ask for .nii.gz."
        )
    return written


def segment_names(file: str | Path) -> dict[int, str]:
    """Number -> name of the segments of a DICOM SEG."""
    header = dcmread(file, stop_before_pixels=True)
    return {int(one.SegmentNumber): str(one.SegmentLabel) for one in header.get("SegmentSequence", ())}


def read_dicom_seg(file: str | Path, image: str | Path) -> sitk.Image:
    """Read segments as a label map on the grid of their study.

    Args:
        file: DICOM SEG, binary.
        image: file of the study.

    Returns:
        The label map, with the numbers of the segments.

    Raises:
        VolumeError: no such file, segments that overlap, or that lie on another grid.
    """
    from pydicom_seg import MultiClassReader

    try:
        segments = MultiClassReader().read(dcmread(file)).image
    except (AttributeError, KeyError, ValueError, OSError, RuntimeError, InvalidDicomError) as error:
        raise VolumeError(
            f"{file}: must be DICOM SEG of segments that do not overlap; found {error}. Save it anew."
        ) from None
    study = sitk.ReadImage(str(image))
    steps = np.reshape(study.GetDirection(), (3, 3)) * study.GetSpacing()  # columns: a voxel along each axis, mm
    own = np.reshape(segments.GetDirection(), (3, 3)) * segments.GetSpacing()
    axes = np.linalg.solve(steps, own)  # those of the segments, in voxels of the study
    corners = np.array([[0, 0, 0], np.array(segments.GetSize()) - 1]).T
    at = np.linalg.solve(steps, np.subtract(segments.GetOrigin(), study.GetOrigin()))[:, None] + axes @ corners
    apart = np.abs(at - np.rint(at)).max()
    if apart > 0.1 or np.abs(np.abs(axes).sum(0) - 1).max() > 0.1:
        raise VolumeError(
            f"{file}: segments must lie on the grid of their study; found voxels of {np.round(np.abs(axes).sum(0), 2)} "
            f"of its own, {apart:.2f} beside them. Draw on the study itself."
        )
    return sitk.Resample(segments, study, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
