"""Results for viewers: integer label maps in the format that they ask for, names and colours of what is in them."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from monai.data import MetaTensor
from PIL import Image

from medgenesis.errors import OutputError, VolumeError
from medgenesis.io.suffixes import split_suffix
from medgenesis.label_app.studies import FLAT
from medgenesis.storage.atomic import cannot_be_written

# of the segments, by value; told apart by colour-blind readers too (Okabe and Ito 2008)
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
_VOLUMES = (".nii.gz", ".nii", ".nrrd", ".mha")
_OF_FLAT = (*_VOLUMES, ".seg.nrrd", ".tif", ".tiff")  # what SimpleITK writes a slice to, without loss
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def colour_of(value: int) -> tuple[int, int, int]:
    """Red, green, blue of a segment."""
    return COLOURS[(value - 1) % len(COLOURS)]


def described(label_map: MetaTensor, classes: Mapping[str, int]) -> dict[str, Any]:
    """What viewers are told beside a label map.

    `label_names` names the segments that are there, in their order: 3D Slicer takes the names one after the other for
    the segments that it finds.
    """
    voxels = np.bincount(label_map.numpy(force=True).astype(int).ravel(), minlength=1 + max(classes.values()))
    there = {name: value for name, value in classes.items() if voxels[value]}
    return {
        "label_names": there,
        "label_colors": {name: list(colour_of(value)) for name, value in there.items()},
        "voxels": {name: int(voxels[value]) for name, value in there.items()},
    }


def write_result(label_map: MetaTensor, classes: Mapping[str, int], extension: str) -> str:
    """Write a label map (1, *spatial) to a temporary file.

    Args:
        label_map: on the grid of the study.
        classes: name -> value.
        extension: .nii.gz, .nii, .nrrd, .seg.nrrd, .mha, or of flat images .png.

    Returns:
        The file; whoever sends it removes it.

    Raises:
        VolumeError: another format.
        OutputError: no space is left, for example; nothing is left there.
    """
    with tempfile.NamedTemporaryFile(prefix="medgenesis_", suffix=extension, delete=False) as file:
        path = file.name
    try:
        _write(label_map, classes, path, extension)
    except BaseException as error:
        Path(path).unlink(missing_ok=True)
        folder = tempfile.gettempdir()
        if isinstance(error, OSError):
            raise cannot_be_written(folder, error) from error
        if isinstance(error, RuntimeError):  # of SimpleITK
            reason = str(error).strip().splitlines()[-1]
            raise OutputError(f"{folder}: cannot be written ({reason}). Free disk space, or set TMPDIR.") from error
        raise
    return path


def _write(label_map: MetaTensor, classes: Mapping[str, int], path: str, extension: str) -> None:
    values = label_map[0].numpy(force=True).astype(np.uint8)
    affine = np.asarray(label_map.affine, dtype=float)
    if values.ndim == 2 and extension == ".png":
        Image.fromarray(values.T).save(path)
    elif values.ndim == 2 and extension in _OF_FLAT:
        write_itk(values[..., None], _LPS, path)  # the axes of flat images are LPS here
    elif extension in (".nii.gz", ".nii"):
        nib.save(nib.Nifti1Image(values, affine), path)
    elif extension == ".seg.nrrd":
        _write_segments(values, affine, path, classes)
    elif extension in (".nrrd", ".mha"):
        write_itk(values, affine, path)
    else:
        raise VolumeError(
            "result_extension: must be .nii.gz, .nrrd, .seg.nrrd or .mha, .dcm of DICOM series, .png of flat images; "
            f"found {extension!r}. Ask for one of them."
        )


def write_itk(values: np.ndarray, affine: np.ndarray, path: str) -> None:
    """Write (x, y, z) with its place in space; the affine is in RAS millimetres.

    Raises:
        OutputError, RuntimeError: it cannot be written.
    """
    lps = _LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(values.transpose(2, 1, 0))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, path, useCompression=True)
    if not np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path)).ravel(), values.transpose(2, 1, 0).ravel()):
        # of NRRD, SimpleITK says nothing when the disk is full
        raise OutputError(f"{path}: cannot be written (it does not come back whole). Free disk space, or set TMPDIR.")


def _write_segments(values: np.ndarray, affine: np.ndarray, path: str, classes: Mapping[str, int]) -> None:
    """3D Slicer's segmentation, with names and colours; MONAI Label's writer knows the header."""
    from monailabel.transform.writer import write_seg_nrrd

    layers = np.stack([values == value for value in classes.values()]).astype(np.uint8)
    colours = {name: [part / 255 for part in colour_of(value)] for name, value in classes.items()}
    write_seg_nrrd(layers, path, np.uint8, affine, list(classes), colours)


def extension_of(image: str | Path, asked: str | None) -> str:
    """The format of a result: as asked for, else as the study is stored."""
    if asked:
        return asked if asked.startswith(".") else f".{asked}"
    suffix = split_suffix(Path(image).name)[1].lower()
    return ".png" if suffix in FLAT else suffix if suffix in _VOLUMES else ".nii.gz"
