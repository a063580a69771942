"""The features of all volumes in the plane: who resembles whom, and whether groups stand apart."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medgenesis.report.label_overlay import PALETTE

_SCALE = 2  # drawn twice as large and reduced, for smooth edges
_SIDE = 480  # pixels of the plane
_MARGIN = 28
_LINE = 18
_LETTER = 12
_RADIUS = 4
_GREY = (120, 120, 120)


def project(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (N, F) along their two main directions (N, 2), and the shares of the variance that these hold (2,).

    Raises:
        ValueError: fewer than two vectors or features, values that are not finite, or equal vectors.
    """
    from sklearn.decomposition import PCA

    vectors = np.asarray(vectors, dtype=np.float64)
    table = vectors.ndim == 2 and min(vectors.shape) >= 2 and np.isfinite(vectors).all()
    if not table or np.array_equal(vectors.min(axis=0), vectors.max(axis=0)):
        raise ValueError(
            f"vectors: must be finite, (N, F) with N and F at least 2, and differ; found shape {vectors.shape}. Draw a "
            "map of more volumes."
        )
    model = PCA(2, svd_solver="full")
    return model.fit_transform(vectors), model.explained_variance_ratio_


def draw_feature_map(vectors: np.ndarray, groups: Sequence[object] | None = None) -> np.ndarray:
    """Draw each volume as a mark where principal component analysis puts it, its group told by colour and shape.

    Both axes have the same scale, so distances in the image compare; the words at the axes say how much of the
    variance they show. A group is whatever may explain the features: section, scanner, sex, or the class that a
    patient is the reference of.

    Args:
        vectors: (N, F), as `VolumeFeatures.vectors`.
        groups: of the N volumes, at most 30 different; None draws them alike.

    Returns:
        uint8 (H, W, 3), for `save_image` or `Report.image`.

    Raises:
        ValueError: as `project`; groups of another number than vectors, or more than 30.
    """
    points, shares = project(vectors)
    groups = ["all"] * len(points) if groups is None else [str(group) for group in groups]
    names = list(dict.fromkeys(groups))
    if len(groups) != len(points) or len(names) > MOST_GROUPS:
        raise ValueError(
            f"groups: must be one a vector, {len(points)}, of at most {MOST_GROUPS} kinds; found {len(groups)} of "
            f"{len(names)} kinds. Join some."
        )
    page = _Page(names, [groups.count(name) for name in names], shares)
    middle, reach = (points.min(0) + points.max(0)) / 2, np.ptp(points, axis=0).max() / 2
    placed = (points - middle) / reach  # -1 to 1
    for point, group in zip(placed, groups, strict=True):
        page.mark(_MARGIN + _SIDE / 2 * (1 + 0.95 * point * (1, -1)), names.index(group))
    return page.finished()


def _polygon(*angles: float) -> Callable[[ImageDraw.ImageDraw, np.ndarray, float, tuple], None]:
    corners = np.array([(math.cos(math.radians(angle)), -math.sin(math.radians(angle))) for angle in angles])

    def draw(pen: ImageDraw.ImageDraw, at: np.ndarray, radius: float, colour: tuple) -> None:
        pen.polygon([*map(tuple, at + 1.25 * radius * corners)], fill=colour)

    return draw


def _disc(pen: ImageDraw.ImageDraw, at: np.ndarray, radius: float, colour: tuple) -> None:
    pen.ellipse([*(at - radius), *(at + radius)], fill=colour)


# their number and that of the colours share no divisor, so 30 pairs differ
_MARKS = (
    _disc,
    _polygon(45, 135, 225, 315),
    _polygon(90, 210, 330),
    _polygon(0, 90, 180, 270),
    _polygon(270, 30, 150),
)
MOST_GROUPS = len(PALETTE) * len(_MARKS)


class _Page:
    """A frame with words at its axes, and a legend at its right."""

    def __init__(self, names: Sequence[str], counts: Sequence[int], shares: Sequence[float]) -> None:
        self.font = ImageFont.load_default(_LETTER * _SCALE)
        entries = [f"{name} ({count})" for name, count in zip(names, counts, strict=True)]
        legend = 30 + math.ceil(max(self.font.getlength(entry) for entry in entries) / _SCALE)
        size = 2 * _MARGIN + _SIDE + legend, max(2 * _MARGIN + _SIDE, 2 * _MARGIN + _LINE * len(names))
        self.image = Image.new("RGB", tuple(side * _SCALE for side in size), "white")
        self.pen = ImageDraw.Draw(self.image)
        frame = np.array([_MARGIN, _MARGIN, _MARGIN + _SIDE, _MARGIN + _SIDE]) * _SCALE
        self.pen.rectangle([*frame], outline=_GREY, width=_SCALE)
        self._write((_MARGIN, _MARGIN - _LETTER), f"up: component 2, {shares[1]:.0%} of the variance", "lm")
        below = f"across: component 1, {shares[0]:.0%} of the variance"
        self._write((_MARGIN + _SIDE, _MARGIN + _SIDE + _LETTER), below, "rm")
        left = 2 * _MARGIN + _SIDE
        for i, entry in enumerate(entries):
            middle = _MARGIN + _LINE * (i + 0.5)
            self.mark(np.array([left, middle]), i)
            self._write((left + 14, middle), entry, "lm")

    def mark(self, at: np.ndarray, group: int) -> None:
        """Draw the mark of a group at (x, y), pixels of the finished image."""
        draw, colour = _MARKS[group % len(_MARKS)], PALETTE[group % len(PALETTE)]
        draw(self.pen, at * _SCALE, _RADIUS * _SCALE, colour)

    def finished(self) -> np.ndarray:
        """The image in its own size."""
        size = tuple(side // _SCALE for side in self.image.size)
        return np.asarray(self.image.resize(size, Image.Resampling.LANCZOS))

    def _write(self, at: tuple[float, float], text: str, anchor: str) -> None:
        self.pen.text([side * _SCALE for side in at], text, fill="black", font=self.font, anchor=anchor)
