"""MONAI reader classes for what MONAI itself does not read as needed: MetaImage/NRRD, NumPy cubes, grey images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader, PILReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple
from PIL import Image

from medgenesis.errors import VolumeError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def make_meta(affine: np.ndarray, spatial_shape: Sequence[int], channel_dim: float = float("nan")) -> dict:
    """What MONAI expects to know of an array.

    Args:
        affine: (4, 4), from voxel indices to RAS millimetres.
        spatial_shape: voxels along each spatial axis.
        channel_dim: axis of the channels; NaN for none.
    """
    return {
        MetaKeys.AFFINE: affine,
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.asarray(spatial_shape),
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.ORIGINAL_CHANNEL_DIM: channel_dim,
    }


class SimpleITKReader(ImageReader):
    """Read MetaImage, NRRD and whatever else SimpleITK reads, as `NibabelReader` would give it.

    Arrays are in index order (x, y, z[, channel]); a fourth image axis (time) becomes the channel axis.
    """

    suffixes = (".mhd", ".mha", ".nrrd", ".nhdr")

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """True where every name ends in a MetaImage or NRRD suffix."""
        return all(str(name).lower().endswith(self.suffixes) for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs) -> sitk.Image:
        """Read one file."""
        (name,) = ensure_tuple(data)
        return sitk.ReadImage(str(name), **kwargs)

    def get_data(self, img: sitk.Image) -> tuple[np.ndarray, dict]:
        """The array (x, y, z[, channel]) and MONAI's meta data, affine in RAS millimetres."""
        array = sitk.GetArrayViewFromImage(img)
        has_components = img.GetNumberOfComponentsPerPixel() > 1
        axes = list(range(img.GetDimension()))[::-1] + ([img.GetDimension()] if has_components else [])
        array = np.array(array.transpose(axes))
        rank = min(img.GetDimension(), 3)
        has_channels = array.ndim > rank
        channel_dim = -1 if has_channels else float("nan")
        return array, make_meta(self._affine(img, rank), array.shape[:rank], channel_dim)

    @staticmethod
    def _affine(img: sitk.Image, rank: int) -> np.ndarray:
        direction = np.reshape(img.GetDirection(), (img.GetDimension(),) * 2)[:rank, :rank]
        affine = np.eye(4)
        affine[:rank, :rank] = direction * np.asarray(img.GetSpacing()[:rank])
        affine[:rank, 3] = img.GetOrigin()[:rank]
        return LPS_TO_RAS @ affine


class ArrayReader(ImageReader):
    """Read `.npy` and `.npz` arrays: an image (X, Y[, Z]), or one row of a stack (n, [C,] X, Y, Z) of cubes.

    A file without geometry is taken to lie on the standard LPS grid at 1 mm, as the published cubes do.

    Args:
        row: row of the stack; a `.npy` stack is memory-mapped, so that one row does not read the file.
    """

    suffixes = (".npy", ".npz")

    def __init__(self, row: int | None = None) -> None:
        self.row = row

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """True where every name ends in `.npy` or `.npz`."""
        return all(str(name).lower().endswith(self.suffixes) for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs) -> np.ndarray:
        """Open the array of one file.

        Raises:
            VolumeError: several arrays in a `.npz`; a stack without row, or without that row.
        """
        (name,) = ensure_tuple(data)
        array = open_array(name)
        if self.row is not None:
            if not 0 <= self.row < len(array):
                raise VolumeError(
                    f"{name}: `cube` must be a row from 0 to {len(array) - 1}; found {self.row}. Correct the record."
                )
            return array[self.row]
        if array.ndim > 3:
            raise VolumeError(
                f"{name}: must be an image of 2 or 3 axes, or a stack with a row named; found shape {array.shape}, a "
                "stack of cubes. Name one row of it by `cube` in its record (`medgenesis datalist` does)."
            )
        return array

    def get_data(self, img: np.ndarray) -> tuple[np.ndarray, dict]:
        """The array and MONAI's meta data; of 4 axes the first is the channel."""
        spatial = img.shape[1:] if img.ndim == 4 else img.shape
        return np.array(img), make_meta(LPS_TO_RAS, spatial, 0 if img.ndim == 4 else float("nan"))


def open_array(name: str | Path) -> np.ndarray:
    """The array of a `.npy` (memory-mapped) or of a `.npz` that holds a single one.

    Raises:
        VolumeError: several arrays in a `.npz`.
    """
    if not str(name).lower().endswith(".npz"):
        return np.load(name, mmap_mode="r", allow_pickle=False)
    with np.load(name, allow_pickle=False) as archive:
        if len(archive.files) != 1:
            found = ", ".join(archive.files[:6])
            raise VolumeError(
                f"{name}: must hold one array; found {len(archive.files)} ({found}). Save each by itself."
            )
        return archive[archive.files[0]]


class GreyReader(PILReader):
    """Read PNG, JPEG, BMP or TIFF images as one grey channel (x, y); colour becomes luminance, alpha is dropped.

    x is the column and y the row. Values stay as stored: 0 to 255, or to 65535 where the image has 16 bits.
    """

    suffixes = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

    def __init__(self) -> None:
        super().__init__(converter=_to_grey)

    def get_data(self, img: Image.Image) -> tuple[np.ndarray, dict]:
        """The array (x, y) and MONAI's meta data, on the LPS grid at 1 mm a pixel."""
        array, _ = super().get_data(img)
        return array, make_meta(LPS_TO_RAS, array.shape)


def _to_grey(image: Image.Image) -> Image.Image:
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise VolumeError(f"{image.filename}: must hold one image; found {pages} pages. Save each by itself.")
    if image.mode == "L" or image.mode.startswith(("I", "F")):
        return image
    return image.convert("RGB").convert("L")
