"""2D images (PNG, JPEG, BMP, TIFF) by Pillow: as they are looked at, or, of label maps, the numbers that are stored."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from monai.data import ImageReader
from monai.utils import ensure_tuple
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

from medgenesis.errors import VolumeError
from medgenesis.io.readers import LPS_TO_RAS, make_meta
from medgenesis.storage.unpacked_size import refuse_bomb

# By suffix, not by content: Pillow would hand a file of another kind to other programs (PostScript to Ghostscript).
# Its own limit of pixels is in `Image.open`, which is passed by: `refuse_bomb` is ours.
_KINDS = {
    ".png": PngImageFile, ".jpg": JpegImageFile, ".jpeg": JpegImageFile, ".bmp": BmpImageFile, ".tif": TiffImageFile,
    ".tiff": TiffImageFile,
}  # fmt: skip


class GreyReader(ImageReader):
    """Read PNG, JPEG, BMP or TIFF images as one grey channel (x, y); colour becomes luminance, alpha is dropped.

    x is the column and y the row, of the image as it is looked at: turned as EXIF or TIFF say, and bright where white.
    Values stay as stored: 0 to 255, or to 65535 where the image has 16 bits; of TIFF also with a sign, of 32 bits, or
    float32.

    Args:
        labels: the image is a label map: the indices of a palette, the numbers of 1, 2 and 4 bits as they are stored;
            true colours and JPEG, which changes values, are refused.
    """

    suffixes = tuple(_KINDS)

    def __init__(self, labels: bool = False) -> None:
        self.labels = labels

    def verify_suffix(self, filename: Sequence[str | Path] | str | Path) -> bool:
        """True where every name ends in the suffix of an image."""
        return all(str(name).lower().endswith(self.suffixes) for name in ensure_tuple(filename))

    def read(self, data: Sequence[str | Path] | str | Path, **kwargs) -> np.ndarray:
        """The rows of one image.

        Raises:
            VolumeError: several pages; a pixel type that is not read; a label map in colours, in the alpha channel, as
                JPEG or with 0 as white; more than 8 bits with colours or alpha; a BMP that Pillow reads wrongly.
        """
        (name,) = ensure_tuple(data)
        path = Path(name)
        kind = _KINDS[path.suffix.lower()]
        content = path.read_bytes()  # of a file, Pillow maps an uncompressed TIFF by the sides it has once turned
        image = _opened(kind, content, path)
        if (pages := getattr(image, "n_frames", 1)) > 1:
            raise VolumeError(f"{path}: must hold one image; found {pages} pages. Save each by itself.")
        refuse_bomb(path, 4 * image.width * image.height, error=VolumeError)
        if kind is PngImageFile:
            image.verify()  # the checksum of every part; the image is of no use after that
            image = kind(io.BytesIO(content))
        bits = stored_bits(image, content)
        if bits > 8 and not image.mode.startswith(("I", "F")):
            raise VolumeError(
                f"{path}: an image of {bits} bits must be grey, without alpha; found colours or alpha (Pillow's mode "
                f"{image.mode}), of which the upper 8 bits alone would be read. Save it as grey."
            )
        if kind is BmpImageFile and bits != {"1": 1, "L": 8}.get(image.mode, bits):
            raise VolumeError(
                f"{path}: a BMP with a palette of greys must have 8 bits, or 1 with two; found {bits} bits, which "
                f"Pillow reads as others (its mode {image.mode}). Save it as PNG."
            )
        if self.labels and isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0:
            raise VolumeError(
                f"{path}: a label map must store 0 as black; found a TIFF in which 0 is white, so that its numbers may "
                "be turned round. Save it with 0 as black, or as PNG."
            )
        bright = bits if _is_negative(image, path) else None
        meant = _type_meant(image)
        image = ImageOps.exif_transpose(image)
        rows = _numbers(image, bits, path) if self.labels else _grey(image)
        if meant is not None:
            return rows.view(meant)
        return rows if bright is None else (1 << bright) - 1 - rows.astype(np.int64)

    def channels(self, path: Path) -> int:
        """One, of any."""
        return 1

    def get_data(self, img: np.ndarray) -> tuple[np.ndarray, dict]:
        """The array (x, y) and MONAI's meta data, on the LPS grid at 1 mm a pixel."""
        return img.T, make_meta(LPS_TO_RAS, img.T.shape)


def _opened(kind: type[ImageFile], content: bytes, path: Path) -> ImageFile:
    try:
        return kind(io.BytesIO(content))
    except SyntaxError as error:
        if "unknown pixel mode" not in str(error):
            raise
        raise VolumeError(
            f"{path}: a TIFF must have a pixel type that is read; found another, as of 64 bits, or of 32 with 0 as "
            "white. Save it as 8 or 16 bits, or as float32."
        ) from error


def _type_meant(image: ImageFile) -> type | None:
    """Of a TIFF whose values Pillow takes for those of another type of as many bits; else None."""
    if not isinstance(image, TiffImageFile):
        return None
    return {("L", 2): np.int8, ("I", 1): np.uint32}.get((image.mode, image.tag_v2.get(SAMPLEFORMAT, (1,))[0]))


def stored_bits(image: ImageFile, content: bytes) -> int:
    """Bits of a grey value, or of a channel, as stored."""
    if isinstance(image, PngImageFile):
        return content[24]
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(BITSPERSAMPLE, (1,)))
    if isinstance(image, BmpImageFile):
        place = 24 if content[14] == 12 else 28  # of the header of OS/2, and of all later ones
        return min(8, int.from_bytes(content[place : place + 2], "little"))  # more are of several channels
    return 8


def _is_negative(image: ImageFile, path: Path) -> bool:
    """Whether white is stored as 0 and Pillow leaves it so: it turns TIFF of up to 8 bits."""
    if not isinstance(image, TiffImageFile) or image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) != 0:
        return False
    if image.mode in ("1", "L"):
        return False
    if not image.mode.startswith("I;16"):
        raise VolumeError(
            f"{path}: an image in which 0 is white must have 16 bits at most, without sign; found Pillow's mode "
            f"{image.mode}. Save it with 0 as black."
        )
    return True


def _grey(image: Image.Image) -> np.ndarray:
    if image.mode == "L" or image.mode.startswith(("I", "F")):
        return np.asarray(image)
    return np.asarray(image.convert("RGB").convert("L"))


def _numbers(image: Image.Image, bits: int, path: Path) -> np.ndarray:
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise VolumeError(
            f"{path}: a label map must be stored without loss; found JPEG, which changes values at every border. Save "
            "it as PNG, from the original."
        )
    rows = np.asarray(image)
    if image.mode == "1":
        return rows.astype(np.uint8)
    if image.mode == "L" and bits < 8:  # Pillow spreads 1, 2 and 4 bits over 0 to 255
        return rows // (255 // ((1 << bits) - 1))
    if image.mode in ("L", "P") or image.mode.startswith(("I", "F")):
        return rows
    colours = rows[..., : {"LA": 1, "PA": 1}.get(image.mode, 3)]
    if image.mode not in ("LA", "PA", "RGB", "RGBA") or (colours != colours[..., :1]).any():
        raise VolumeError(
            f"{path}: a label map must hold one number a pixel; found colours (Pillow's mode {image.mode}). Save the "
            "numbers, as grey values or as a palette's indices."
        )
    if image.mode in ("LA", "PA", "RGBA") and np.ptp(colours) == 0 and np.ptp(rows[..., -1]) > 0:
        raise VolumeError(
            f"{path}: a label map must not be in the alpha channel; found one value in the others (Pillow's mode "
            f"{image.mode}). Save the numbers as grey values, without alpha."
        )
    return colours[..., 0]
