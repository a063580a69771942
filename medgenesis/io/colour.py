"""Colour images, where colour is what is looked at: histology, photographs of the fundus."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from medgenesis.errors import VolumeError
from medgenesis.io.images import GreyReader, stored_bits
from medgenesis.io.named_errors import named_errors
from medgenesis.storage.unpacked_size import refuse_bomb


def load_colour(path: str | Path) -> Tensor:
    """An image as (3, X, Y) float32 in [0, 1], X to the right and Y downwards; alpha is dropped, grey is three times.

    Args:
        path: PNG, JPEG, BMP or TIFF of 8 bits a channel.

    Raises:
        VolumeError: it cannot be read, is truncated, has several pages, or more than 8 bits a channel.
    """
    path = Path(path)
    if not GreyReader().verify_suffix(path):
        raise VolumeError(f"{path}: must be PNG, JPEG, BMP or TIFF; found another suffix. Convert it.")
    content = path.read_bytes()
    with named_errors(path), Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "BMP", "TIFF")) as image:
        refuse_bomb(path, 12 * image.width * image.height, error=VolumeError)
        bits = stored_bits(image, content)
        if getattr(image, "n_frames", 1) > 1 or bits > 8 or image.mode.startswith(("I", "F")):
            raise VolumeError(
                f"{path}: must be one image of 8 bits a channel; found {getattr(image, 'n_frames', 1)} page(s), "
                f"{bits} bits, mode {image.mode}. Save it so."
            )
        rows = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    return torch.from_numpy(rows.transpose(2, 1, 0).astype(np.float32) / 255)
