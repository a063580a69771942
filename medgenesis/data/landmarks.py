"""Landmarks of images and volumes as a table: image, landmark, x, y, and of volumes z."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from medgenesis.data.tables import table_rows
from medgenesis.errors import DatalistError
from medgenesis.storage.tables import write_table

COLUMNS = ("image", "landmark", "x", "y")

Landmarks = dict[str, dict[str, tuple[float, ...]]]
"""Image -> landmark -> (x, y): column and row in pixels, (0, 0) the middle of the first pixel. Of a volume (x, y, z):
the voxel along the first, second and third axis of the file, as nibabel and SimpleITK count them, from 0."""


def write_landmarks(path: str | os.PathLike, landmarks: Mapping[str, Mapping[str, tuple[float, ...]]]) -> None:
    """Write a CSV file of the columns image, landmark, x, y (and z, where a place has one), to a hundredth of a pixel.

    Args:
        path: the file.
        landmarks: see `Landmarks`.
    """
    rows = [(image, name, *map(float, place)) for image, points in landmarks.items() for name, place in points.items()]
    solid = any(len(row) > len(COLUMNS) for row in rows)
    columns = (*COLUMNS, "z") if solid else COLUMNS
    write_table(path, [(*row, *[None] * (len(columns) - len(row))) for row in rows], columns, decimals=".2f")


def read_landmarks(path: str | os.PathLike) -> Landmarks:
    """Read what `write_landmarks` writes; `z` may be blank or absent, further columns are ignored, images keep their
    order.

    Raises:
        DatalistError: the file cannot be read or is empty, a column is missing or there twice, a row has more cells
            than the heading, a name is blank, a place is not two finite numbers (three with `z`), or an image has a
            landmark twice.
    """
    path, landmarks = Path(path), {}
    if not path.is_file():
        raise DatalistError(
            f"{path}: must be a CSV file of landmarks; found no file. Check the path, or state that there are no "
            "landmarks ('$None' on a command line)."
        )
    for line, row in table_rows(path, COLUMNS, "Add what is missing to its heading.", optional=("z",)):
        _add(landmarks, row, f"{path}, row {line}")
    if not landmarks:
        raise DatalistError(
            f"{path}: must name at least one landmark; found none below its heading. Add a row for each landmark."
        )
    return landmarks


def _add(landmarks: Landmarks, row: Mapping[str, str], where: str) -> None:
    image, name, *place = (row[column].strip() for column in COLUMNS)
    place += [deep] if (deep := row.get("z", "").strip()) else []
    try:
        numbers = tuple(map(float, place))
    except ValueError:
        numbers = (math.nan,)
    if not (image and name and all(map(math.isfinite, numbers))):
        raise DatalistError(
            f"{where}: needs an image, a landmark and two finite numbers of pixels (of volumes three); found {row}. "
            "Correct the row; write numbers with a point, not with a comma."
        )
    points = landmarks.setdefault(image, {})
    if name in points:
        raise DatalistError(
            f"{where}: must name each landmark of an image once; found {name!r} of {image} already. Keep one of the "
            "two."
        )
    points[name] = numbers


def landmarks_of(records: Sequence[Mapping], path: str | os.PathLike) -> Landmarks:
    """Read a table, and give each record's landmarks under the `image` of that record.

    The table names an image by its path, from the table's own folder, or by its file name alone.

    Args:
        records: with `image`, as from `load_datalist`.
        path: the table, see `read_landmarks`.

    Returns:
        Of the records that the table knows, in their order: image -> landmark -> (x, y), or (x, y, z).

    Raises:
        DatalistError: as `read_landmarks`; a file name that is that of two records; a table that knows none of them.
    """
    table, folder = read_landmarks(path), Path(path).parent
    by_path = {(folder / name).resolve(): points for name, points in table.items()}
    names = [Path(record["image"]).name for record in records]
    found: Landmarks = {}
    for record, name in zip(records, names, strict=True):
        points = by_path.get(Path(record["image"]).resolve())
        if points is None and name in table:
            if names.count(name) > 1:
                raise DatalistError(
                    f"{path}: must tell images apart; found {name!r} as the name of {names.count(name)}. Give their "
                    "paths."
                )
            points = table[name]
        if points is not None:
            found[str(record["image"])] = points
    if not found:
        raise DatalistError(
            f"{path}: must name some of the images, {', '.join(names[:3])} …; found {', '.join(list(table)[:3])} …. "
            "Give their file names, or their paths from the table's folder."
        )
    return found
