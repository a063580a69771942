"""What every reader gives of an array's place in space, and the reader of NumPy arrays."""

import math
import os
import zipfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple

from medgenesis.errors import VolumeError
from medgenesis.io.named_errors import named_errors
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
        shape = self._shape_of_image(name, array.shape)
        refuse_bomb(name, _in_memory(shape, array.dtype), error=VolumeError)  # what is read, not what is mapped
        return array if self.row is None else array[self.row]

    def channels(self, path: Path) -> int:
        """Channels, by the header."""
        shape = self._shape_of_image(path, array_shape(path))
        return shape[0] if len(shape) == 4 else 1

    def get_data(self, img: np.ndarray) -> tuple[np.ndarray, dict]:
        """The array and MONAI's meta data; of 4 axes the first is the channel."""
        spatial = img.shape[1:] if img.ndim == 4 else img.shape
        return np.array(img), make_meta(LPS_TO_RAS, spatial, 0 if img.ndim == 4 else float("nan"))

    def _shape_of_image(self, name: str | Path, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the array, or of its row."""
        if self.row is None:
            if len(shape) > 3:
                raise VolumeError(
                    f"{name}: must be an image of 2 or 3 axes, or a stack with a row named; found shape {shape}, a "
                    "stack of cubes. Name one row of it by `cube` in its record (`medgenesis datalist` does)."
                )
            return shape
        if not 0 <= self.row < shape[0]:
            raise VolumeError(
                f"{name}: `cube` must be a row from 0 to {shape[0] - 1}; found {self.row}. Correct the record."
            )
        return shape[1:]


def open_array(name: str | Path) -> np.ndarray:
    """The array of a `.npy` (memory-mapped) or of a `.npz` that holds a single one.

    Raises:
        VolumeError: several arrays in a `.npz`, a damaged one, objects, or a length other than the header says.
    """
    shape, dtype = _stated(name)
    if not _is_archive(name):
        return np.load(name, mmap_mode="r", allow_pickle=False)
    refuse_bomb(name, _in_memory(shape, dtype), error=VolumeError)
    with _stored(name) as (file, _):  # to its end, where the checksum is compared
        return np.lib.format.read_array(file, allow_pickle=False)


def array_shape(name: str | Path) -> tuple[int, ...]:
    """The shape of the array that `open_array` gives, by the header alone.

    Raises:
        VolumeError: as `open_array`; a file that cannot be read.
    """
    with named_errors(name):
        return _stated(name)[0]


def _is_archive(name: str | Path) -> bool:
    return str(name).lower().endswith(".npz")


@contextmanager
def _stored(name: str | Path) -> Generator[tuple[IO[bytes], int], None, None]:
    """The array as a `.npy` file, unpacked while it is read, and its length in bytes."""
    if not _is_archive(name):
        with Path(name).open("rb") as file:
            yield file, os.fstat(file.fileno()).st_size
        return
    with zipfile.ZipFile(name) as archive:
        members = archive.infolist()
        if len(members) != 1:
            found = ", ".join(one.filename.removesuffix(".npy") for one in members[:6])
            raise VolumeError(f"{name}: must hold one array; found {len(members)} ({found}). Save each by itself.")
        with archive.open(members[0]) as file:
            yield file, members[0].file_size


def _stated(name: str | Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the values, as the header says."""
    with _stored(name) as (file, length):
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        said = file.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise VolumeError(
            f"{name}: must hold numbers; found Python objects, which could run code. Save an array of numbers."
        )
    if 0 in shape:
        raise VolumeError(f"{name}: must hold voxels; found shape {shape}, none. Leave the file out.")
    if said != length:
        raise VolumeError(
            f"{name}: cannot be read, truncated or damaged (its header says {said} bytes, there are {length}). Copy it "
            "again."
        )
    return shape, dtype


def _in_memory(shape: Sequence[int], dtype: np.dtype) -> int:
    return math.prod(shape) * max(4, dtype.itemsize)
