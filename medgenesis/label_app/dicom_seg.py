"""DICOM SEG of a result, for studies that came as DICOM: segments have names, and the series that they lie on."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

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
