"""MetaImage and NRRD: the geometry by ITK, the voxels read here, so that checksums and lengths are compared."""

import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from monai.data import ImageReader
from monai.utils import ensure_tuple

from medgenesis.errors import VolumeError
from medgenesis.io.readers import LPS_TO_RAS, make_meta
from medgenesis.io.text_geometry import check_axes, check_units_and_scale, warn_of_no_spacing, warn_of_orientation
from medgenesis.io.text_headers import TextHeader, read_text_header
from medgenesis.storage.unpacked_size import refuse_bomb

_EITHER_STREAM = 32 + zlib.MAX_WBITS  # zlib or gzip, whichever it begins as


class SimpleITKReader(ImageReader):
    """Read MetaImage and NRRD as `NiftiReader` would give them.

    Arrays are in index order (x, y, z[, channel]); a fourth image axis (time) becomes the channel axis. A header may
    name plain files beside it alone (see `read_text_header`).
    """

    suffixes = (".mhd", ".mha", ".nrrd", ".nhdr")

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """True where every name ends in a MetaImage or NRRD suffix."""
        return all(str(name).lower().endswith(self.suffixes) for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs) -> tuple[np.ndarray, dict]:
        """The array (x, y, z[, channel]) of one file, and MONAI's meta data, affine in RAS millimetres.

        Raises:
            VolumeError: see `read_text_header` and `text_geometry`; a damaged stream; fewer or more voxels than the
                header says.
        """
        (name,) = ensure_tuple(data)
        path = Path(name)
        header, reader = _information(path)
        check_units_and_scale(path, header)
        warn_of_no_spacing(path, header)
        check_axes(path, _affine(reader, min(reader.GetDimension(), 3)))
        if reader.GetDimension() >= 3:  # a flat image lies as pictures do
            warn_of_orientation(path, header, _affine(reader, 3))
        shape, components = reader.GetSize(), reader.GetNumberOfComponents()
        dtype = _dtype(reader)
        values = math.prod(shape) * components
        refuse_bomb(path, values * max(4, dtype.itemsize), *header.data, error=VolumeError)
        stored = _stored_shape(header, shape, components)
        if stored is None or header.encoding not in ("raw", "zlib", "gzip") or len(header.data) != 1:
            return from_itk(reader.Execute())  # text, bzip2, one file a slice, channels as the last axis
        flat = _voxels(path, header, values * dtype.itemsize).view(dtype.newbyteorder(header.byteorder))
        array = flat.reshape(stored, order="F")
        return _placed(np.moveaxis(array, 0, -1) if components > 1 else array, reader)

    def channels(self, path: Path) -> int:
        """Channels, by the header."""
        _, reader = _information(path)
        return reader.GetNumberOfComponents() * math.prod(reader.GetSize()[3:])

    def get_data(self, img: tuple[np.ndarray, dict]) -> tuple[np.ndarray, dict]:
        """What `read` gave."""
        return img


def from_itk(image: sitk.Image) -> tuple[np.ndarray, dict]:
    """The array (x, y, z[, channel]) of an image of ITK, and MONAI's meta data, affine in RAS millimetres."""
    array, rank = sitk.GetArrayFromImage(image), image.GetDimension()
    return _placed(array.transpose([*range(rank)[::-1], *range(rank, array.ndim)]), image)


def _placed(array: np.ndarray, where: sitk.Image | sitk.ImageFileReader) -> tuple[np.ndarray, dict]:
    rank = min(where.GetDimension(), 3)
    if array.ndim > rank + 1:
        raise VolumeError(
            f"axes: must be three in space and one of channels at most; found shape {array.shape}. Write one file for "
            "each time or channel."
        )
    return array, make_meta(_affine(where, rank), array.shape[:rank], -1 if array.ndim > rank else float("nan"))


def _information(path: Path) -> tuple[TextHeader, sitk.ImageFileReader]:
    """The header, as it stands and as ITK has read it."""
    utf8 = _utf8(path)
    header = read_text_header(path)
    reader = sitk.ImageFileReader()
    reader.SetImageIO("MetaImageIO" if path.suffix.lower() in (".mha", ".mhd") else "NrrdImageIO")
    reader.SetFileName(utf8)
    reader.ReadImageInformation()
    return header, reader


def _utf8(path: Path) -> str:
    """The name as ITK takes it, whatever the encoding of this system's names is."""
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeError as error:
        raise VolumeError(
            f"{path}: the name of a MetaImage or NRRD must be UTF-8; found other bytes. Rename the file or its folder."
        ) from error


def _dtype(reader: sitk.ImageFileReader) -> np.dtype:
    one = sitk.Image([1] * reader.GetDimension(), reader.GetPixelID(), reader.GetNumberOfComponents())
    return sitk.GetArrayViewFromImage(one).dtype


def _stored_shape(header: TextHeader, shape: Sequence[int], components: int) -> tuple[int, ...] | None:
    """Axes as stored, the fastest first; None where ITK has turned them."""
    stored = (components, *shape) if components > 1 else tuple(shape)
    said = header.fields.get("sizes")  # of NRRD; a MetaImage always has its channels first
    return stored if said is None or tuple(int(side) for side in said.split()) == stored else None


def _voxels(path: Path, header: TextHeader, size: int) -> np.ndarray:
    """`size` bytes, no fewer and no more."""
    file = header.data[0]
    length = file.stat().st_size
    start = length - size if header.offset is None else header.offset
    if header.encoding == "raw":
        if start < 0 or length - start != size:
            raise _other_length(path, f"{max(length - start, 0)} bytes of them", size)
        return np.fromfile(file, np.uint8, offset=start)
    with file.open("rb") as stream:
        stream.seek(start)
        packed = stream.read()
    unpacking = zlib.decompressobj(_EITHER_STREAM)
    voxels = unpacking.decompress(packed, size)
    more = unpacking.decompress(unpacking.unconsumed_tail, 1)  # to the end, where the checksum is compared
    if len(voxels) < size or more or not unpacking.eof or unpacking.unused_data.strip(b"\0\r\n"):
        found = "more" if more or unpacking.unused_data else f"{len(voxels)} bytes of them in a stream that ends early"
        raise _other_length(path, found, size)
    return np.frombuffer(voxels, np.uint8)


def _other_length(path: Path, found: str, size: int) -> VolumeError:
    return VolumeError(
        f"{path}: cannot be read, truncated or damaged (its header says {size} bytes of voxels, there are {found}). "
        "Copy it again."
    )


def _affine(where: sitk.Image | sitk.ImageFileReader, rank: int) -> np.ndarray:
    direction = np.reshape(where.GetDirection(), (where.GetDimension(),) * 2)[:rank, :rank]
    affine = np.eye(4)
    affine[:rank, :rank] = direction * np.asarray(where.GetSpacing()[:rank])
    affine[:rank, 3] = where.GetOrigin()[:rank]
    return LPS_TO_RAS @ affine
