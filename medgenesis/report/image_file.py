"""A drawing as a file."""

from pathlib import Path

import numpy as np
from PIL import Image

from medgenesis.storage.atomic import replacing


def save_image(drawing: np.ndarray, path: str | Path) -> Path:
    """Write an image, uint8 (H, W) or (H, W, 3), in the format of its suffix, whole or not at all."""
    with replacing(path) as beside:
        Image.fromarray(drawing).save(beside, optimize=True)
    return Path(path)
