"""Discovered patterns at a glance: one class a row, one patient a column."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from medgenesis.mining.crop import crop_pattern
from medgenesis.mining.patterns import PatternTable
from medgenesis.report.label_overlay import overlay
from medgenesis.report.planes import MARGIN_GREY
from medgenesis.storage.atomic import replacing

_LEAST_SIDE = 64  # pixels: smaller cubes are enlarged, so that they are seen and the heading fits above them
_GAP = 1
_LETTER = 11
_PADDING = 4


def draw_contact_sheet(
    table: PatternTable,
    load: Callable[[int], torch.Tensor],
    *,
    section: str = "training",
    classes: Sequence[int] | None = None,
    patients: int = 12,
    window: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Draw the cubes of each class in a row; where patterns are anatomy, the images of a row show the same.

    The columns are patients in the order of their features' distance to the class's reference, from the nearest to the
    farthest in even steps: each row has its own. Above each stands its place in that order (in the longest row, where
    a table made by hand has rows of different lengths); the reference itself comes first in training. Drawn is the
    middle slice of the last axis of resolution 1 (axial on the standard grid), the first axis to the right and the
    second downwards, so that the patient's right is at the left.

    Args:
        table: the patterns.
        load: gives volume i, counted as in `table.volumes`, as (C, X, Y, Z) in [0, 1]: a `VolumeLoader`. Each volume
            is loaded once, one is held at a time.
        section: "training" or "validation".
        classes: the rows; None draws all.
        patients: columns at most.
        window: intensities drawn as black and as white; what lies outside is clipped.

    Returns:
        uint8 (H, W, 3), for `save_image` or `Report.image`.

    Raises:
        ValueError: a setting out of its range, or a section without cubes of these classes.
        VolumeError: a volume that does not fit the table.
    """
    low, high = window
    if not (patients >= 1 and low < high):
        raise ValueError(f"`patients` must be at least 1 and `window` ascend, got {patients} and {window}")
    rows = _chosen(table, section, classes, patients)
    slices = _slices(table, load, [item for row in rows.values() for _, item in row])
    width, height = table.settings["cube_size"][:2]
    scale = max(1, math.ceil(_LEAST_SIDE / min(width, height)))
    columns = max(rows.values(), key=len)
    headings = ["reference" if item["reference"] else f"no. {rank + 1}" for rank, item in columns]
    sheet = _Sheet(width * scale, height * scale, headings, [f"class {number}" for number in rows])
    for r, row in enumerate(rows.values()):
        for c, (_, item) in enumerate(row):
            grey = ((slices[id(item)] - low) / (high - low)).clip(0, 1)
            sheet.paste(overlay(grey, np.zeros(grey.shape)).repeat(scale, 0).repeat(scale, 1), r, c)
    return np.asarray(sheet.page)


def save_image(drawing: np.ndarray, path: str | Path) -> Path:
    """Write an image, uint8 (H, W) or (H, W, 3), in the format of its suffix, whole or not at all."""
    with replacing(path) as beside:
        Image.fromarray(drawing).save(beside, optimize=True)
    return Path(path)


def _chosen(
    table: PatternTable, section: str, classes: Sequence[int] | None, patients: int
) -> dict[int, list[tuple[int, Mapping[str, Any]]]]:
    """Of each class some items with their rank by distance, evenly spread."""
    by_class: dict[int, list[Mapping]] = {}
    for item in table.items(section):
        if item["resolution"] == 1 and (classes is None or item["class"] in classes):
            by_class.setdefault(item["class"], []).append(item)
    lacking = [number for number in classes or () if number not in by_class]
    if lacking or not by_class:
        raise ValueError(
            f"`classes`: section {section!r} has no cubes of {f'class {lacking[0]}' if lacking else 'resolution 1'}, "
            f"found classes {sorted(by_class)[:10]}: choose others, or the other section"
        )
    chosen = {}
    for number in sorted(by_class) if classes is None else classes:
        items = sorted(by_class[number], key=lambda item: (not item["reference"], item["distance"]))
        ranks = np.linspace(0, len(items) - 1, min(patients, len(items))).round().astype(int).tolist()
        chosen[number] = [(rank, items[rank]) for rank in ranks]
    return chosen


def _slices(
    table: PatternTable, load: Callable[[int], torch.Tensor], items: Sequence[Mapping]
) -> dict[int, np.ndarray]:
    """The image (Y, X) of each item, by its identity."""
    by_image: dict[str, list[Mapping]] = {}
    for item in items:
        by_image.setdefault(item["image"], []).append(item)
    drawn: dict[int, np.ndarray] = {}
    for i, info in enumerate(table.volumes):
        if info.image in by_image:
            drawn |= _slices_of(load(i), by_image[info.image], table.settings["cube_size"])
    return drawn


def _slices_of(volume: torch.Tensor, items: Sequence[Mapping], size: Sequence[int]) -> dict[int, np.ndarray]:
    cubes = {id(item): crop_pattern(volume, item["origin"], item["size"], size) for item in items}
    # copies: a view would keep its whole cube
    return {key: np.asarray(cube[0, :, :, cube.shape[-1] // 2]).T.copy() for key, cube in cubes.items()}


class _Sheet:
    """A page with headings above the columns and names left of the rows."""

    def __init__(self, width: int, height: int, headings: Sequence[str], names: Sequence[str]) -> None:
        font = ImageFont.load_default(_LETTER)
        self.left = math.ceil(max(font.getlength(name) for name in names)) + 2 * _PADDING
        self.top = _LETTER + 2 * _PADDING
        self.step = width + _GAP, height + _GAP
        size = self.left + len(headings) * self.step[0], self.top + len(names) * self.step[1]
        self.page = Image.new("RGB", size, (MARGIN_GREY,) * 3)
        pen = ImageDraw.Draw(self.page)
        for c, heading in enumerate(headings):
            pen.text((self._x(c) + width / 2, self.top / 2), heading, fill="white", font=font, anchor="mm")
        for r, name in enumerate(names):
            pen.text((_PADDING, self._y(r) + height / 2), name, fill="white", font=font, anchor="lm")

    def paste(self, drawing: np.ndarray, row: int, column: int) -> None:
        self.page.paste(Image.fromarray(drawing), (self._x(column), self._y(row)))

    def _x(self, column: int) -> int:
        return self.left + column * self.step[0]

    def _y(self, row: int) -> int:
        return self.top + row * self.step[1]
