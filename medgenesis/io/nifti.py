"""NIfTI by nibabel, with what its readers pass over: checksums, lengths, and which of its geometries holds."""

import gzip
import math
import warnings
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import IO, NamedTuple

import nibabel
import numpy as np
from monai.data import ImageReader
from monai.utils import ensure_tuple
from nibabel.affines import voxel_sizes

from medgenesis.errors import VolumeError
from medgenesis.io.readers import make_meta
from medgenesis.io.unpacking import from_unpacked
from medgenesis.storage.unpacked_size import refuse_bomb

_CODES = range(6)  # of the standard; 0: the form does not hold
_AGREE = 1e-3  # of a spacing
_OTHER_UNITS = {1: "metres", 3: "micrometres"}  # of xyzt_units; 0 is unknown, 2 mm


class NiftiImage(NamedTuple):
    """Voxels (x, y, z[, channel]) and the affine in RAS millimetres."""

    voxels: np.ndarray
    affine: np.ndarray


class NiftiReader(ImageReader):
    """Read `.nii` and `.nii.gz`: to the end, so that gzip compares its checksum, and no byte more than the voxels.

    The geometry is that of the sform where its code is above 0, else of the qform where its code is, else of the
    spacing alone: as nibabel, FSL and MRtrix have it. Where another of them gives another spacing, other
    axes, or a place more than a voxel away, that is warned of, with both or the distance.

    Notes:
        MONAI's `NibabelReader` replaces a sform that disagrees with `pixdim` by the qform, even one whose code is 0.
    """

    suffixes = (".nii", ".nii.gz")

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """True where every name ends in `.nii` or `.nii.gz`."""
        return all(str(name).lower().endswith(self.suffixes) for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs) -> NiftiImage:
        """Read one file.

        Raises:
            VolumeError: shorter or longer than its header says, a scale or a geometry that is not finite, a spacing of
                0, or more voxels than memory should be taken for.
        """
        (name,) = ensure_tuple(data)
        path = Path(name)
        stated, affine, voxels = from_unpacked(path, partial(_read_whole, path))
        _check_forms(path, stated)
        _warn_of_disagreement(path, stated, affine)
        return NiftiImage(_without_single_axes(path, voxels, min(len(stated.get_data_shape()), 3)), affine)

    def channels(self, path: Path) -> int:
        """Channels, by the header."""
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            stated = _kind(stream).header_class.from_fileobj(stream, check=False)
        return max(1, math.prod(stated.get_data_shape()[3:]))

    def get_data(self, img: NiftiImage) -> tuple[np.ndarray, dict]:
        """The array (x, y, z[, channel]) and MONAI's meta data."""
        rank = min(img.voxels.ndim, 3)
        channel_dim = -1 if img.voxels.ndim > rank else float("nan")
        return img.voxels, make_meta(img.affine.copy(), img.voxels.shape[:rank], channel_dim)


def _read_whole(path: Path, stream: IO[bytes]) -> tuple[nibabel.Nifti1Header, np.ndarray, np.ndarray]:
    """The header as it stands in the file, the affine and the voxels, in the order in which they are stored."""
    kind = _kind(stream)
    stated = kind.header_class.from_fileobj(stream, check=False)
    shape = stated.get_data_shape()
    end = int(stated.get_data_offset()) + math.prod(shape) * stated.get_data_dtype().itemsize
    refuse_bomb(path, max(end, 4 * math.prod(shape)), error=VolumeError)
    _check_scale(path, stated)
    stream.seek(0)
    image = kind.from_stream(stream)
    voxels = np.asanyarray(image.dataobj)
    stream.seek(end)
    if stream.read(1):
        raise VolumeError(
            f"{path}: must end after the {end} bytes that its header says; found more. The header is damaged, or other "
            "bytes were added: copy it again."
        )
    return stated, image.affine, voxels


def _kind(stream: IO[bytes]) -> type:
    size = stream.read(4)
    stream.seek(0)
    return (
        nibabel.Nifti2Image
        if 540 in (int.from_bytes(size, "little"), int.from_bytes(size, "big"))
        else nibabel.Nifti1Image
    )


def _check_scale(path: Path, header: nibabel.Nifti1Header) -> None:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isfinite(slope) and slope != 0 and not math.isfinite(intercept):  # else there is no scale
        raise VolumeError(
            f"{path}: scl_inter must be finite; found {intercept} with scl_slope {slope:g}. Write 0, or what was "
            "meant, into its header: nifti_tool -mod_hdr -mod_field scl_inter 0 -infiles OLD.nii -prefix NEW.nii."
        )


def _check_forms(path: Path, header: nibabel.Nifti1Header) -> None:
    """Of the header as it stands in the file: nibabel sets a spacing of 0 to 1, and an unknown code to 0."""
    unit = int(header["xyzt_units"]) & 7
    if unit in _OTHER_UNITS:  # ITK makes millimetres of them, nibabel, FSL and MRtrix do not
        raise _geometry_error(path, "its lengths must be in mm (xyzt_units)", f"{_OTHER_UNITS[unit]}")
    sides = header.get_data_shape()[:3]
    spacing = np.asarray(header["pixdim"], dtype=float)[1 : 1 + len(sides)]
    flat = any(mm == 0 and side > 1 for mm, side in zip(spacing, sides, strict=True))
    if not np.isfinite(spacing).all() or (flat and not int(header["sform_code"]) > 0):  # a sform has its own spacing
        raise _geometry_error(path, "its spacing must be finite and not 0", f"pixdim {_listed(spacing)}")
    forms = {
        "sform": ("srow_x", "srow_y", "srow_z"),
        "qform": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    }
    for form, fields in forms.items():
        code = int(header[f"{form}_code"])
        if code not in _CODES:
            raise _geometry_error(path, f"{form}_code must be from 0 to {_CODES[-1]}", code)
        values = np.concatenate([np.atleast_1d(header[field]) for field in fields]).astype(float)
        if code > 0 and not np.isfinite(values).all():
            raise _geometry_error(path, f"its {form} must be finite", _listed(values))


def _geometry_error(path: Path, rule: str, found: str | int) -> VolumeError:
    return VolumeError(f"{path}: {rule}; found {found}. Write its geometry anew, from the original.")


def _warn_of_disagreement(path: Path, header: nibabel.Nifti1Header, affine: np.ndarray) -> None:
    sform, qform = (int(header[code]) > 0 for code in ("sform_code", "qform_code"))
    rank = min(len(header.get_data_shape()), 3)
    spacing = np.abs(np.asarray(header["pixdim"], dtype=float))[1 : 1 + rank]
    used = voxel_sizes(affine)[:rank]
    if not (sform or qform):
        said = (
            "it has neither sform nor qform: left and right are not known, the first axis is taken to grow to the left"
        )
    elif sform and not np.allclose(spacing, used, rtol=_AGREE, atol=0):
        said = f"pixdim says a spacing of {_listed(spacing)} mm, its sform {_listed(used)} mm; the sform is used"
    elif sform and qform and _axes(header.get_qform()) != _axes(affine):
        said = f"axes grow to {_axes(header.get_qform())} by its qform, {_axes(affine)} by its sform; the sform is used"
    elif sform and qform and (apart := _apart(header.get_qform(), affine, header.get_data_shape()[:3])) > used.max():
        said = f"its qform lies up to {apart:.4g} mm from its sform; the sform is used"
    else:
        return
    warnings.warn(f"{path}: {said}. Write its geometry anew if that is wrong.", stacklevel=2)


def _axes(affine: np.ndarray) -> str:
    return "".join(code or "?" for code in nibabel.aff2axcodes(affine))


def _apart(one: np.ndarray, other: np.ndarray, sides: Sequence[int]) -> float:
    """The greatest distance, in mm, between the places of a corner by two affines."""
    corners = np.array(
        [(*corner, *[0] * (3 - len(sides)), 1) for corner in product(*((0, side - 1) for side in sides))]
    )
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


def _listed(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


def _without_single_axes(path: Path, voxels: np.ndarray, rank: int) -> np.ndarray:
    """The spatial axes, and of the others those that are longer than 1: at most one, the channel."""
    single = tuple(axis for axis in range(rank, voxels.ndim) if voxels.shape[axis] == 1)
    squeezed = voxels.squeeze(single)
    if squeezed.ndim > 4:
        raise VolumeError(
            f"{path}: must have three axes in space and one of channels at most; found shape {voxels.shape}. Write one "
            "file for each time or channel."
        )
    return squeezed
