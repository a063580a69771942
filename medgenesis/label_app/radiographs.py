"""DICOM radiographs as PNG images: viewers of folders, and networks of chest X-rays, want 8 bits."""

import hashlib
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from medgenesis.io.dicom import is_negative
from medgenesis.io.volume_reader import VolumeReader
from medgenesis.storage.atomic import replacing

_SHARES = (0.5, 99.5)  # percentiles that become black and white where the file has no window


def instance_of(path: str | Path) -> str:
    """The SOPInstanceUID of a file; "" where it has none."""
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"], force=True)
    return str(header.get("SOPInstanceUID", ""))


def radiograph_name(path: str | Path) -> str:
    """`xray_` and a hash of the image's identifier, which is the hospital's."""
    return f"xray_{hashlib.sha256(instance_of(path).encode()).hexdigest()[:12]}"


def convert_radiograph(source: str | Path, target: str | Path) -> None:
    """Write a radiograph as PNG of 8 bits: its window from black to white, else nearly all of its values.

    Raises:
        VolumeError: it cannot be read.
    """
    reader = VolumeReader()
    values, _ = reader.get_data(reader.read(source))
    low, high = _window(source) or np.percentile(values, _SHARES)
    scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    with replacing(target) as beside:
        Image.fromarray(np.rint(scaled * 255).astype(np.uint8).T).save(beside)


def _window(path: str | Path) -> tuple[float, float] | None:
    """The first window of the file, as DICOM's linear function has its ends (PS3.3 C.11.2.1.2)."""
    tags = ["WindowCenter", "WindowWidth"]
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    if is_negative(header):  # is turned when it is read; the window is not
        return None
    centre, width = (np.atleast_1d(header.get(tag)) for tag in tags)
    try:
        centre, width = float(centre[0]), float(width[0])
    except (TypeError, ValueError, IndexError):
        return None
    return (centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2) if width > 1 else None
