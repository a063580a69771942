"""What the header of a MetaImage or NRRD says of lengths and values and ITK passes over: units, no spacing, a slope."""

import math
import re
import warnings
from pathlib import Path

import numpy as np

from medgenesis.errors import VolumeError
from medgenesis.io.text_headers import TextHeader

_UNITS = {"DistanceUnits": "DistanceUnits", "spaceunits": "space units", "units": "units"}  # name in `fields`: spelled
_MM = {"", "?", "???", "mm", "millimeter", "millimeters", "millimetre", "millimetres"}  # the first three say nothing
_IN_SPACE = {"domain", "space", "none", "???"}  # kinds of NRRD's axes; the others are channels, time, …
_AS_STORED = {"ElementToIntensityFunctionSlope": 1.0, "ElementToIntensityFunctionOffset": 0.0}
_PATIENT = re.compile(  # the spaces of NRRD that are the patient's
    r"(right-anterior|left-anterior|left-posterior)-superior(-time)?|(RAS|LAS|LPS)T?", re.IGNORECASE
)
_FROM = {
    "R": (0, -1),
    "L": (0, 1),
    "A": (1, -1),
    "P": (1, 1),
    "I": (2, 1),
    "S": (2, -1),
}  # where an axis comes from: RAS
_ALONG = 0.3  # cosine; of an axis halfway between two others it is 0.7
_LEAST_VOLUME = 1e-3  # of the cell of unit vectors along the axes


def check_units_and_scale(path: Path, header: TextHeader) -> None:
    """Refuse what ITK would read otherwise than it is said.

    Raises:
        VolumeError: lengths that are not in mm, an NRRD's spacing that is not finite, a MetaImage whose values
            are to be multiplied or shifted.
    """
    fields = header.fields
    for name, spelled in _UNITS.items():
        for unit in _in_space(fields, _words(fields.get(name, "")), of_each_axis=name == "units"):
            if unit.lower() not in _MM:
                raise _refusal(path, f"its lengths must be in mm ({spelled})", unit)
    for spacing in _in_space(fields, fields.get("spacings", "").split(), of_each_axis=True):
        if not math.isfinite(_number(spacing)):  # ITK takes it for 1, and refuses 0
            raise _refusal(path, "its spacing must be finite", f"spacings {fields['spacings'][:60]}")
    for name, plain in _AS_STORED.items():
        if name in fields and _number(fields[name]) != plain:
            raise VolumeError(
                f"{path}: its values must be stored as they are meant ({name} = {plain:g}); found {fields[name][:20]}. "
                "Write the values that are meant, or take the line out if it does not hold."
            )


def warn_of_no_spacing(path: Path, header: TextHeader) -> None:
    """Say that 1 mm is taken, as is said of a NIfTI without geometry."""
    if not {"ElementSpacing", "ElementSize", "spacings", "spacedirections"} & set(header.fields):
        said = "its header gives no spacing, 1 mm is taken along each axis"
        warnings.warn(f"{path}: {said}. Write its geometry anew if that is wrong.", stacklevel=2)


def warn_of_orientation(path: Path, header: TextHeader, affine: np.ndarray) -> None:
    """Say that left and right are not known, or that a MetaImage says them twice, and otherwise.

    Args:
        path: of the file, for the message.
        header: as it stands.
        affine: (4, 4), to RAS millimetres, as ITK takes it.
    """
    said = header.fields.get("AnatomicalOrientation", "").upper()
    nrrd = "ElementDataFile" not in header.fields
    if nrrd and not _PATIENT.fullmatch(space := header.fields.get("space", "")):
        what = f"its space {space[:40]!r} does" if space else "it has no `space`, and does"
        what += " not say where left and right are; the axes are taken to be left, posterior, superior"
    elif len(said) == 3 and set(said) <= set(_FROM):
        axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        along = [_FROM[letter][1] * axes[_FROM[letter][0], i] for i, letter in enumerate(said)]
        if min(along) > _ALONG:
            return
        what = f"its AnatomicalOrientation {said} contradicts its TransformMatrix; the matrix is used"
    else:
        return
    warnings.warn(f"{path}: {what}. Write its geometry anew if that is wrong.", stacklevel=2)


def check_axes(path: Path, affine: np.ndarray) -> None:
    """Refuse axes that do not span space.

    Args:
        path: of the file, for the message.
        affine: (4, 4), from voxel indices to millimetres.

    Raises:
        VolumeError: an axis of length 0, or axes in one plane.
    """
    axes = affine[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    spanned = np.isfinite(affine).all() and lengths.all() and abs(np.linalg.det(axes / lengths)) > _LEAST_VOLUME
    if not spanned:
        raise _refusal(path, "its axes must span space", f"the directions {np.round(axes.T, 4).tolist()}")


def _words(text: str) -> list[str]:
    return re.findall(r'"([^"]*)"', text) or text.split()


def _in_space(fields: dict[str, str], words: list[str], of_each_axis: bool) -> list[str]:
    """Of an NRRD's words, one for each axis, those of the first three axes in space; without kinds all axes are."""
    kinds = fields.get("kinds", "").lower().split()
    if not of_each_axis or len(kinds) != len(words):
        return words[:3]
    return [word for word, kind in zip(words, kinds, strict=True) if kind in _IN_SPACE][:3]


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _refusal(path: Path, rule: str, found: str) -> VolumeError:
    return VolumeError(f"{path}: {rule}; found {found}. Write its geometry anew, from the original.")
