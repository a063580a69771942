"""Discovered patterns at a glance: one class a row, one patient a column."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from medgenesis.mining.cubes import crop_pattern, one_pass
from medgenesis.mining.patterns import PatternTable
from medgenesis.report.label_overlay import overlay
from medgenesis.report.planes import MARGIN_GREY

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
        uint8 (H, W, 3), for `report.save_image` or `Report.image`.

    Raises:
        ValueError: a setting out of its range, or a section without cubes of these classes.
        VolumeError: a volume that does not fit the table.
    """
    task = ContactSheetTask(table, section=section, classes=classes, patients=patients, window=window)
    one_pass(load, task)
    return task.result()


class ContactSheetTask:
    """What `draw_contact_sheet` draws, for `one_pass`; its arguments, but `load`, are those of it."""

    def __init__(
        self,
        table: PatternTable,
        *,
        section: str = "training",
        classes: Sequence[int] | None = None,
        patients: int = 12,
        window: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        low, high = window
        if not (patients >= 1 and low < high):
            raise ValueError(
                f"patients, window: `patients` must be at least 1 and `window` ascend; found {patients} and {window}. "
                "Correct them."
            )
        self.size, self.window = table.settings["cube_size"], window
        self.rows = _chosen(table, section, classes, patients)
        number = {volume.image: i for i, volume in enumerate(table.volumes)}
        self.wanted: dict[int, list[Mapping]] = {}  # volume -> items
        for _, item in (pair for row in self.rows.values() for pair in row):
            self.wanted.setdefault(number[item["image"]], []).append(item)
        self.slices: dict[int, np.ndarray] = {}  # by the identity of the item

    def take(self, i: int, volume: torch.Tensor) -> None:
        """Cut the middle slice (Y, X) of each item of volume i."""
        for item in self.wanted[i]:
            cube = crop_pattern(volume, item["origin"], item["size"], self.size)
            # a copy: a view would keep its whole cube
            self.slices[id(item)] = np.asarray(cube[0, :, :, cube.shape[-1] // 2]).T.copy()

    def result(self) -> np.ndarray:
        """The sheet, when all volumes have been taken."""
        (low, high), (width, height) = self.window, self.size[:2]
        scale = max(1, math.ceil(_LEAST_SIDE / min(width, height)))
        columns = max(self.rows.values(), key=len)
        headings = ["reference" if item["reference"] else f"no. {rank + 1}" for rank, item in columns]
        sheet = _Sheet(width * scale, height * scale, headings, [f"class {number}" for number in self.rows])
        for r, row in enumerate(self.rows.values()):
            for c, (_, item) in enumerate(row):
                grey = ((self.slices[id(item)] - low) / (high - low)).clip(0, 1)
                sheet.paste(overlay(grey, np.zeros(grey.shape)).repeat(scale, 0).repeat(scale, 1), r, c)
        return np.asarray(sheet.page)


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
            f"classes: section {section!r} must have cubes of each; found no "
            f"{f'class {lacking[0]}' if lacking else 'resolution 1'} beside classes {sorted(by_class)[:10]}. Choose "
            "others, or the other section."
        )
    chosen = {}
    for number in sorted(by_class) if classes is None else classes:
        items = sorted(by_class[number], key=lambda item: (not item["reference"], item["distance"]))
        ranks = np.linspace(0, len(items) - 1, min(patients, len(items))).round().astype(int).tolist()
        chosen[number] = [(rank, items[rank]) for rank in ranks]
    return chosen


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
