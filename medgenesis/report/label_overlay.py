"""Labels drawn over a slice."""

from collections.abc import Sequence

import numpy as np

from medgenesis.errors import IntensityRangeError, VolumeError

Colour = tuple[int, int, int]
_ROUNDED = 1e-3  # how far from [0, 1] scaled values may be

# Okabe and Ito's colours, told apart with any colour vision; yellow is kept for references, black is unseen on air.
PALETTE: tuple[Colour, ...] = (
    (86, 180, 233),  # sky blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
)
REFERENCE_COLOUR: Colour = (240, 228, 66)  # yellow


def overlay(
    image_slice: np.ndarray,
    label_slice: np.ndarray,
    colours: Sequence[Colour] | None = None,
    opacity: float = 0.35,
    outline: bool = True,
) -> np.ndarray:
    """Draw a label map over a grey slice; pixels of label 0 stay grey.

    Args:
        image_slice: (H, W) in [0, 1].
        label_slice: (H, W) whole numbers, 0 is background.
        colours: RGB in 0..255 of labels 1, 2, …, starting again when used up; default: a colour-blind safe palette.
        opacity: of the fill, 0 (none) to 1.
        outline: whether the pixels of a label that touch another label or the background get its full colour.

    Returns:
        uint8 (H, W, 3).

    Raises:
        IntensityRangeError: the slice leaves [0, 1] or is not finite.
        VolumeError: slice and label differ in shape.
    """
    label = np.asarray(label_slice).astype(np.int64)
    drawing = np.repeat(_unit_range(image_slice)[..., None] * 255.0, 3, axis=-1)
    if label.shape != drawing.shape[:2]:
        raise VolumeError(
            f"label_slice: needs the image's shape {drawing.shape[:2]}; found {label.shape}. Resample the label."
        )
    table = np.asarray(PALETTE if colours is None else colours, dtype=np.float64)
    colour = table[(label - 1) % len(table)]
    inside = label != 0
    drawing[inside] += opacity * (colour - drawing)[inside]
    if outline:
        edge = inside & (_neighbours(label) != label).any(0)
        drawing[edge] = colour[edge]
    return drawing.round().astype(np.uint8)


def contour_around(drawing: np.ndarray, label_slice: np.ndarray, colour: Colour = REFERENCE_COLOUR) -> np.ndarray:
    """Draw the pixels just outside each label, so that an `overlay` of an equal label stays visible within.

    Args:
        image: uint8 (H, W, 3).
        label_slice: (H, W) whole numbers, 0 is background.
        colour: RGB in 0..255.

    Returns:
        uint8 (H, W, 3), a copy.
    """
    label = np.asarray(label_slice).astype(np.int64)
    drawn = drawing.copy()
    drawn[(_neighbours(label) > label).any(0)] = colour
    return drawn


def display_range(image: np.ndarray) -> np.ndarray:
    """An image of any shape in [0, 1]; where it leaves that (z-scores), from its percentiles 0.5 to 99.5."""
    if image.min() < -_ROUNDED or image.max() > 1 + _ROUNDED:
        low, high = np.percentile(image, (0.5, 99.5))
        image = (image - low) / ((high - low) or 1)
    return image.clip(0, 1)


def _neighbours(label: np.ndarray) -> np.ndarray:
    """The four neighbours of every pixel, (4, H, W); beyond the border a pixel is its own neighbour."""
    padded = np.pad(label, 1, mode="edge")
    return np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])


def _unit_range(image_slice: np.ndarray) -> np.ndarray:
    image = np.asarray(image_slice, dtype=np.float64)
    if not (np.isfinite(image).all() and image.min(initial=0) >= -_ROUNDED and image.max(initial=1) <= 1 + _ROUNDED):
        raise IntensityRangeError(
            f"image_slice: values must lie in [0, 1]; found {image.min():g} to {image.max():g}. Scale the intensities "
            "first."
        )
    return image.clip(0, 1)
