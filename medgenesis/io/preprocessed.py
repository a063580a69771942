"""The arrays that nnU-Net's preprocessing writes: an image and its label map, (channel, *spatial), of one case."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from monai.data import ImageReader
from monai.utils import ensure_tuple

from medgenesis.errors import VolumeError
from medgenesis.io.readers import LPS_TO_RAS, array_shape, make_meta
from medgenesis.storage.unpacked_size import refuse_bomb

_BLOSC = ".b2nd"
_MEMBERS = {"data.npy", "seg.npy"}  # of a .npz
_PROGRAMS = (b"LazyArray", b"proxy-source", b"b2o")  # marks of a Blosc2 file that is evaluated, not read
_HEADER = 2**16
_REMEDY = 'Install it: pip install "medgenesis[nnunet]", or pip install blosc2.'


def is_preprocessed(path: str | Path) -> bool:
    """Whether a file is an array of nnU-Net's preprocessing: `CASE.b2nd` and `CASE_seg.b2nd`; `CASE.npz` with `data`
    and `seg`; or the unpacked `CASE.npy` and `CASE_seg.npy`, side by side."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        try:
            with zipfile.ZipFile(path) as archive:
                return {member.filename for member in archive.infolist()} == _MEMBERS
        except (OSError, zipfile.BadZipFile):
            return False
    if suffix == ".npy":
        stem = path.stem.removesuffix("_seg")
        return all(path.with_name(f"{stem}{end}.npy").is_file() for end in ("", "_seg"))
    return suffix == _BLOSC


class PreprocessedReader(ImageReader):
    """Read arrays of nnU-Net's preprocessing: (channel, *spatial), axes and spacing as its plans say.

    They have no geometry: 1 mm a voxel is noted, until `nnunet_preprocessing` puts the plan's in its place. In label
    maps -1, which nnU-Net writes where there is no image, is 0.

    Args:
        labels: read the label map.
    """

    suffixes = (_BLOSC,)

    def __init__(self, labels: bool = False) -> None:
        self.labels = labels

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """True where every file is such an array."""
        return all(is_preprocessed(name) for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs) -> np.ndarray:
        """The array of one file.

        Raises:
            VolumeError: damaged, objects instead of numbers, not four axes, or blosc2 is not installed.
        """
        (name,) = ensure_tuple(data)
        path = Path(name)
        array = _of_blosc(path) if path.suffix.lower() == _BLOSC else self._of_numpy(path)
        if array.ndim != 4:
            raise VolumeError(
                f"{path}: must be (channel, *three axes), as nnU-Net preprocesses; found shape {array.shape}. "
                "Preprocess a 3D configuration: nnUNetv2_preprocess."
            )
        return np.maximum(array, 0) if self.labels else array

    def channels(self, path: Path) -> int:
        """Channels of the image, by the header where it has one."""
        if path.suffix.lower() == ".npy":
            return array_shape(path)[0]
        if path.suffix.lower() == ".npz":
            return len(self.read(path))
        return int(_opened(path).shape[0])

    def get_data(self, img: np.ndarray) -> tuple[np.ndarray, dict]:
        """The array and MONAI's meta data."""
        return img, make_meta(LPS_TO_RAS, img.shape[1:], 0)

    def _of_numpy(self, path: Path) -> np.ndarray:
        if path.suffix.lower() == ".npy":
            return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        refuse_bomb(path, unpacked, error=VolumeError)
        with np.load(path, allow_pickle=False) as archive:
            return archive["seg" if self.labels else "data"]


def _of_blosc(path: Path) -> np.ndarray:
    stored = _opened(path)
    refuse_bomb(path, math.prod(stored.shape) * max(4, stored.dtype.itemsize), error=VolumeError)
    return np.asarray(stored[:])


def _opened(path: Path):
    """The array in the file, of which nothing is unpacked yet."""
    try:
        import blosc2
    except ImportError as error:
        raise VolumeError(f"{path}: needs blosc2 to be read; found none. {_REMEDY}") from error
    with path.open("rb") as file:
        head = file.read(_HEADER)
    stored = None if any(mark in head for mark in _PROGRAMS) else blosc2.open(urlpath=str(path), mode="r")
    if type(stored) is not blosc2.NDArray or stored.dtype.kind not in "biuf":
        raise VolumeError(
            f"{path}: must hold an array of numbers; found another object of Blosc2, which could run code. Give what "
            "nnUNetv2_preprocess wrote."
        )
    return stored
