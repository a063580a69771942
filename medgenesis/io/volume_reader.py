"""One way in for every kind of scan: the reader is chosen by suffix or folder, failures name the file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from monai.data import ImageReader, MetaTensor
from monai.transforms import EnsureChannelFirst, LoadImaged, MapTransform
from monai.utils import ImageMetaKey, MetaKeys, ensure_tuple

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.io.dicom import DicomReader, is_dicom
from medgenesis.io.file_kind import check_file, check_kind
from medgenesis.io.images import GreyReader
from medgenesis.io.meta_nrrd import SimpleITKReader
from medgenesis.io.named_errors import named_errors
from medgenesis.io.nifti import NiftiReader
from medgenesis.io.preprocessed import PreprocessedReader, is_preprocessed
from medgenesis.io.readers import ArrayReader
from medgenesis.io.suffixes import SUFFIXES

_KEPT_META = (
    MetaKeys.AFFINE,
    MetaKeys.ORIGINAL_AFFINE,
    MetaKeys.SPATIAL_SHAPE,
    MetaKeys.SPACE,
    MetaKeys.ORIGINAL_CHANNEL_DIM,
)
_BLOCK = (32, 8)  # voxels along the first and the last axis: 64 and 32 bytes of 16-bit and 32-bit voxels


class VolumeReader(ImageReader):
    """Read NIfTI, MetaImage, NRRD, a DICOM series folder, NumPy arrays (nnU-Net's preprocessed ones too) or images with
    the reader that fits the name.

    Several files are stacked as channels; they must share one grid. Of the meta data only the geometry is kept, as
    tensors and whole numbers (so that caches load with `weights_only=True`): free text in a header can hold a
    patient's name.

    Args:
        row: row of a stack of cubes (`.npy`, `.npz`).
        series: which DICOM series of a folder, see `DicomReader`.
        labels: the files are label maps: of images, the numbers that are stored count, not brightness.
    """

    def __init__(self, row: int | None = None, series: str | None = None, labels: bool = False) -> None:
        self.row, self.series, self.labels = row, series, labels

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """True where a reader is known for every name."""
        return all(self._reader(name) is not None for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs) -> list[tuple[np.ndarray, dict]]:
        """Arrays and meta data of the files.

        Raises:
            VolumeError: missing, unreadable or truncated file, or a kind that is not read.
        """
        return [self._read_one(Path(name)) for name in ensure_tuple(data)]

    def get_data(self, img: list[tuple[np.ndarray, dict]]) -> tuple[np.ndarray, dict]:
        """The array in (x, y, z[, channel]) order, or (file, x, y, z) of several files, and the geometry."""
        array, meta = img[0]
        meta = {
            key: torch.as_tensor(meta[key]) if isinstance(meta[key], np.ndarray) else meta[key] for key in _KEPT_META
        }
        # as NumPy takes it: MONAI Label compares it with the result's shape
        meta[MetaKeys.SPATIAL_SHAPE] = tuple(int(side) for side in meta[MetaKeys.SPATIAL_SHAPE])
        if len(img) == 1:
            return array, meta
        for other, other_meta in img[1:]:
            if other.shape != array.shape or not np.allclose(other_meta["affine"], meta["affine"], atol=1e-3):
                raise VolumeError(
                    f"channels: files given as channels must share one grid; found {array.shape} and {other.shape}. "
                    "Register and resample them first."
                )
        return np.stack([array for array, _ in img]), {**meta, MetaKeys.ORIGINAL_CHANNEL_DIM: 0}

    def channels(self, data: Sequence[str | Path] | str | Path) -> int:
        """How many channels `read` would give, by the header alone: several files are a channel each.

        Raises:
            VolumeError: the header cannot be read.
        """
        names = ensure_tuple(data)
        if len(names) > 1:
            return len(names)
        path = Path(names[0])
        with named_errors(path):
            return self._chosen(path).channels(path)

    def _read_one(self, path: Path) -> tuple[np.ndarray, dict]:
        with named_errors(path):
            reader = self._chosen(path)
            array, meta = reader.get_data(reader.read(str(path)))
        if array.dtype.kind not in "biuf":
            raise VolumeError(f"{path}: voxels must be real numbers; found {array.dtype}. Convert the file.")
        if array.ndim < 2 or not array.size:
            raise VolumeError(
                f"{path}: must be an image of 2 or 3 axes with voxels; found shape {array.shape}. Leave the file out."
            )
        return array, meta

    def _chosen(self, path: Path) -> ImageReader:
        check_file(path)
        reader = self._reader(path)
        if reader is None:
            raise VolumeError(
                f"{path}: must be {', '.join(SUFFIXES)} or a DICOM folder; found another kind of file. Convert it "
                "to one of these."
            )
        if not isinstance(reader, DicomReader):
            check_kind(path)
        return reader

    def _reader(self, path: str | Path) -> ImageReader | None:
        name = str(path).lower()
        if Path(path).is_dir():
            return DicomReader(self.series)
        if self.row is None and is_preprocessed(path):
            return PreprocessedReader(self.labels)
        for reader in (NiftiReader(), SimpleITKReader(), ArrayReader(self.row), GreyReader(self.labels)):
            if name.endswith(reader.suffixes):
                return reader
        return DicomReader() if is_dicom(path) else None


class LoadVolumed(LoadImaged):
    """MONAI's `LoadImaged` with `VolumeReader` as its only reader: float32 `MetaTensor`, channel first.

    A record's field `cube` names the row of a stack of cubes, `series` one DICOM series of a folder that holds several.

    Args:
        keys: keys whose values are file names (or lists of them, to be stacked as channels).
        allow_missing_keys: pass over keys that a record lacks.
        label_keys: which of the keys are label maps.

    Raises:
        VolumeError: a file that cannot be read, with its name, what is wrong and the remedy.
        DatalistError: a record without one of the keys.
    """

    # MONAI Label sets `_loader.image_only = False` of every LoadImaged. Nothing depends on it: a MetaTensor holds the
    # meta data either way. Of the class, so that fingerprints of transforms stay as they are.
    _loader = SimpleNamespace(image_only=True)

    def __init__(
        self, keys: str | Sequence[str], allow_missing_keys: bool = False, label_keys: Sequence[str] = ()
    ) -> None:
        # past LoadImaged's own, which would set up (and warn about) a dozen readers that are never asked
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.label_keys = ensure_tuple(label_keys)

    def __call__(self, data: Mapping[str, Any], reader: ImageReader | None = None) -> dict[str, Any]:
        loaded = dict(data)
        readers = [reader or VolumeReader(loaded.get("cube"), loaded.get("series"), labels) for labels in (False, True)]
        lacking = [key for key in self.keys if key not in loaded]
        if lacking and not self.allow_missing_keys:
            raise DatalistError(
                f"{loaded.get('image', 'record')}: its record must have {lacking[0]!r}; found none. Add it to the "
                "datalist, or leave the record out."
            )
        for key in self.key_iterator(loaded):
            names = ensure_tuple(loaded[key])
            reader = readers[key in self.label_keys]
            array, meta = reader.get_data(reader.read(names))
            meta[ImageMetaKey.FILENAME_OR_OBJ] = str(names[0])
            volume = MetaTensor.ensure_torch_and_prune_meta(_as_float32(array), meta)
            loaded[key] = EnsureChannelFirst()(volume)
        return loaded


def _as_float32(array: np.ndarray) -> np.ndarray:
    """The values as float32, the last axis fastest in memory.

    Most files have the first axis fastest. NumPy would then write one value of each line of memory at a time; block by
    block, a line that is read or written stays in the processor's cache until it is done with.
    """
    if array.ndim < 3 or array.flags.c_contiguous:
        return array.astype(np.float32, order="C")
    values = np.empty(array.shape, np.float32)
    for first in range(0, array.shape[0], _BLOCK[0]):
        for last in range(0, array.shape[-1], _BLOCK[1]):
            block = np.s_[first : first + _BLOCK[0], ..., last : last + _BLOCK[1]]
            values[block] = array[block]
    return values
