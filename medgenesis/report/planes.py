"""A volume as a radiologist looks at it, axial, coronal and sagittal side by side; an image as it is."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from medgenesis.errors import VolumeError
from medgenesis.report.label_overlay import contour_around, overlay

MARGIN = 12  # pixels at the left of each plane, where the side's letter stands
MARGIN_GREY = 40  # not black, so that the border of the volume is seen

# Of axes that grow to the patient's left, back and head: the axis across, the axis down, whether down is turned round,
# and the side at the image's left. Radiological: the patient's right is at the image's left.
_PLANES = (
    (0, 1, False, "R", "axial"),  # anterior up
    (0, 2, True, "R", "coronal"),  # superior up
    (1, 2, True, "A", "sagittal"),  # superior up
)
_TEXT_HEIGHT = 13  # pixels of the line below a plane that says which slice it is


def three_planes(
    volume: np.ndarray,
    label: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    spacing_mm: Sequence[float] = (1, 1, 1),
    *,
    longest: int | None = None,
    positions: bool = False,
) -> np.ndarray:
    """Draw the axial, coronal and sagittal slices through the label's centroid, in radiological convention.

    Args:
        volume: (X, Y, Z) in [0, 1] on the standard grid (axis codes LPS: to the patient's left, back and head).
        label: (X, Y, Z) whole numbers, drawn as fill and outline; 0 is background.
        reference: (X, Y, Z) whole numbers; its contour is drawn in yellow around it. Where there is no label (or an
            empty one), the slices go through its centroid, and without either through the middle.
        spacing_mm: of the three axes; pixels of the image are squares of the smallest of them.
        longest: pixels of the volume's longest side in place of that, smaller or larger.
        positions: whether a line below each plane says which slice it is, counted from 1.

    Returns:
        uint8 (H, W, 3).

    Raises:
        VolumeError: the volume is not 3D or empty, a label stands on another grid, or a spacing is not above 0.
        IntensityRangeError: a drawn slice leaves [0, 1].
    """
    volume = np.asarray(volume)
    label, reference = (None if map_ is None else np.asarray(map_) for map_ in (label, reference))
    _check(volume, label, reference, spacing_mm)
    at = _centre(volume.shape, label, reference)
    pixel = min(spacing_mm)
    if longest is not None:
        pixel = max(side * mm for side, mm in zip(volume.shape, spacing_mm, strict=True)) / longest
    panels = []
    for across, down, turned, letter, name in _PLANES:
        pixels = [max(1, round(volume.shape[axis] * spacing_mm[axis] / pixel)) for axis in (across, down)]
        where = {"across": across, "down": down, "turned": turned, "at": at, "pixels": pixels}
        grey = _slice(volume, "F", **where)
        panel = overlay(grey, np.zeros(grey.shape) if label is None else _slice(label, "I", **where))
        if reference is not None:
            panel = contour_around(panel, _slice(reference, "I", **where))
        through = 3 - across - down
        panels.append((panel, letter, f"{name} {at[through] + 1}/{volume.shape[through]}" if positions else ""))
    return _side_by_side(panels)


def flat_image(
    image: np.ndarray, label: np.ndarray | None = None, reference: np.ndarray | None = None, longest: int | None = None
) -> np.ndarray:
    """Draw a 2D image with its label map, as it is looked at.

    Args:
        image: (X, Y) in [0, 1], X to the right, Y downwards.
        label: (X, Y) whole numbers, drawn as fill and outline.
        reference: (X, Y) whole numbers; its contour is drawn in yellow.
        longest: pixels of the longer side; None keeps them all.

    Returns:
        uint8 (H, W, 3).
    """
    pixels = [max(1, round(side * (longest or max(image.shape)) / max(image.shape))) for side in image.shape]
    maps = [None if map_ is None else _resized(np.asarray(map_).T, "I", pixels) for map_ in (label, reference)]
    drawing = overlay(
        _resized(np.asarray(image).T, "F", pixels), np.zeros(pixels[::-1]) if maps[0] is None else maps[0]
    )
    return drawing if maps[1] is None else contour_around(drawing, maps[1])


def _check(volume: np.ndarray, label, reference, spacing_mm: Sequence[float]) -> None:
    if volume.ndim != 3 or volume.size == 0:
        raise VolumeError(f"volume: needs the shape (X, Y, Z); found {volume.shape}. Give one channel.")
    for name, map_ in (("label", label), ("reference", reference)):
        if map_ is not None and map_.shape != volume.shape:
            raise VolumeError(
                f"{name}: needs the volume's shape {volume.shape}; found {map_.shape}. Resample it to the volume."
            )
    if len(spacing_mm) != 3 or not all(0 < mm < np.inf for mm in spacing_mm):
        raise VolumeError(f"spacing_mm: needs three numbers above 0; found {tuple(spacing_mm)}. Give it in mm.")


def _centre(shape: tuple[int, ...], *maps: np.ndarray | None) -> list[int]:
    """The centroid, in voxels, of the first map that has a label; else the middle."""
    for map_ in maps:
        if map_ is not None and map_.any():
            counts = [np.count_nonzero(map_, axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
            return [round(float(np.average(np.arange(len(count)), weights=count))) for count in counts]
    return [size // 2 for size in shape]


def _slice(
    array: np.ndarray, mode: str, *, across: int, down: int, turned: bool, at: list[int], pixels: list[int]
) -> np.ndarray:
    """One plane, resized to `pixels` across and down."""
    through = 3 - across - down
    plane = array.take(at[through], axis=through).T  # across < down, so the transpose puts `down` first
    return _resized(plane[::-1] if turned else plane, mode, pixels)


def _resized(plane: np.ndarray, mode: str, pixels: Sequence[int]) -> np.ndarray:
    """`mode` "F" interpolates (intensities), "I" takes the nearest (labels)."""
    plane = np.ascontiguousarray(plane, np.float32 if mode == "F" else np.int32)
    resampling = Image.Resampling.BILINEAR if mode == "F" else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(plane).resize(tuple(pixels), resampling))


def _side_by_side(panels: list[tuple[np.ndarray, str, str]]) -> np.ndarray:
    """Planes in a row, centred, each with its letter at its left and its text below, beside the data, not over them."""
    height = max(panel.shape[0] for panel, _, _ in panels)
    below = _TEXT_HEIGHT if any(text for _, _, text in panels) else 0
    width = sum(panel.shape[1] + MARGIN for panel, _, _ in panels) + MARGIN
    page = Image.new("RGB", (width, height + below), (MARGIN_GREY,) * 3)
    draw, left = ImageDraw.Draw(page), 0
    for panel, letter, text in panels:
        draw.text((left + 3, height // 2 - 6), letter, fill="white")
        page.paste(Image.fromarray(panel), (left + MARGIN, (height - panel.shape[0]) // 2))
        draw.text((left + MARGIN, height + 1), text, fill="white")
        left += MARGIN + panel.shape[1]
    return np.asarray(page)
