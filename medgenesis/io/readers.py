"""What every reader gives of an array's place in space, and the reader of NumPy arrays."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple

from medgenesis.errors import VolumeError
from medgenesis.storage.unpacked_size import refuse_bomb

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
            VolumeError: several arrays in a `.npz`; a stack without row, or without that row; a small file that unpacks
                to too much.
        """
        (name,) = ensure_tuple(data)
        array = open_array(name)
        if self.row is not None:
            if not 0 <= self.row < len(array):
                raise VolumeError(
                    f"{name}: `cube` must be a row from 0 to {len(array) - 1}; found {self.row}. Correct the record."
                )
            array = array[self.row]
        elif array.ndim > 3:
            raise VolumeError(
                f"{name}: must be an image of 2 or 3 axes, or a stack with a row named; found shape {array.shape}, a "
                "stack of cubes. Name one row of it by `cube` in its record (`medgenesis datalist` does)."
            )
        refuse_bomb(name, _in_memory(array.shape, array.dtype), error=VolumeError)  # what is read, not what is mapped
        return array

    def channels(self, path: Path) -> int:
        """Channels; a `.npz` is unpacked for it."""
        array = self.read(path)
        return len(array) if array.ndim == 4 else 1

    def get_data(self, img: np.ndarray) -> tuple[np.ndarray, dict]:
        """The array and MONAI's meta data; of 4 axes the first is the channel."""
        spatial = img.shape[1:] if img.ndim == 4 else img.shape
        return np.array(img), make_meta(LPS_TO_RAS, spatial, 0 if img.ndim == 4 else float("nan"))


def open_array(name: str | Path) -> np.ndarray:
    """The array of a `.npy` (memory-mapped) or of a `.npz` that holds a single one.

    Raises:
        VolumeError: several arrays in a `.npz`, a damaged one, objects, or a length other than the header says.
    """
    if str(name).lower().endswith(".npz"):
        return _unpacked(name)
    with Path(name).open("rb") as file:
        size = _bytes(*_stated(name, file))
        said, found = file.tell() + size, Path(name).stat().st_size
    if said != found:
        raise VolumeError(
            f"{name}: cannot be read, truncated or damaged (its header says {said} bytes, there are {found}). Copy it "
            "again."
        )
    return np.load(name, mmap_mode="r" if size else None, allow_pickle=False)


def _unpacked(name: str | Path) -> np.ndarray:
    with zipfile.ZipFile(name) as archive:
        names = archive.namelist()
        if len(names) != 1:
            found = ", ".join(one.removesuffix(".npy") for one in names[:6])
            raise VolumeError(f"{name}: must hold one array; found {len(names)} ({found}). Save each by itself.")
        with archive.open(names[0]) as file:
            stated = _stated(name, file)
            refuse_bomb(name, _in_memory(*stated), error=VolumeError)
            size = _bytes(*stated)
            if file.tell() + size != archive.getinfo(names[0]).file_size:
                raise VolumeError(
                    f"{name}: cannot be read, truncated or damaged (its header says other than {size} bytes). "
                    "Copy it again."
                )
        with archive.open(names[0]) as file:  # to its end, where the checksum is compared
            return np.lib.format.read_array(file, allow_pickle=False)


def _stated(name: str | Path, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the values, as the header says, which is read."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise VolumeError(
            f"{name}: must hold numbers; found Python objects, which could run code. Save an array of numbers."
        )
    if 0 in shape:
        raise VolumeError(f"{name}: must hold voxels; found shape {shape}, none. Leave the file out.")
    return shape, dtype


def _bytes(shape: Sequence[int], dtype: np.dtype) -> int:
    return math.prod(shape) * dtype.itemsize


def _in_memory(shape: Sequence[int], dtype: np.dtype) -> int:
    return math.prod(shape) * max(4, dtype.itemsize)
