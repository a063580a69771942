"""The table of discovered patterns: where each cube lies, and which class it belongs to."""

import json
import os.path
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medgenesis.data.json_files import read_json_object
from medgenesis.errors import DatalistError
from medgenesis.mining.geometry import VolumeInfo
from medgenesis.storage.atomic import write_text

FORMAT = 1
MINED_SECTIONS = ("training", "validation")
PREPARED = "prepared"  # among the settings: those of the preprocessing


class Prepared(dict[str, Any]):
    """How volumes were prepared when they were mined, by setting.

    Attributes:
        source: the table, for messages.
    """

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        super().__init__(values)
        self.source = source


def prepared_as(path: str | Path) -> Prepared:
    """`intensity` and `spacing_mm` of the volumes that a table was mined in: defaults of the pre-training on it.

    Args:
        path: of the table. Of an absent one, of one mined before 0.2 kept them, and of one that cannot be read (said
            by `PatternTable.load`), nothing is known.
    """
    try:
        found = read_json_object(path).get("settings", {}).get(PREPARED)
    except (OSError, ValueError, AttributeError):
        found = None
    return Prepared(found if isinstance(found, Mapping) else {}, str(path))


@dataclass
class PatternTable:
    """Cubes of discovered patterns, as places in volumes.

    An item is a dictionary that stands alone as a record of a MONAI datalist: `image` (file), `patient`, `class` (from
    0), `resolution` (1, 2 or 3), `origin` (first voxel), `size` (voxels cut, to be resized to the setting `cube_size`),
    `distance` (of the features to the reference's), `reference` (True for one item of each class: the cube that the
    class was found in).

    Args:
        settings: what the table was made with, as `discover` was told.
        volumes: all that took part, also those that no cube came from.
        training: items; file names are absolute in memory.
        validation: items.

    Notes:
        Origins are voxels of the preprocessed volume: a table belongs to one preprocessing.
    """

    settings: dict[str, Any]
    volumes: list[VolumeInfo]
    training: list[dict[str, Any]]
    validation: list[dict[str, Any]]

    @property
    def num_classes(self) -> int:
        """How many classes the training items have: 0 to `num_classes` - 1."""
        return 1 + max((item["class"] for item in self.training), default=-1)

    @property
    def references(self) -> list[dict[str, Any]]:
        """The reference items, by class."""
        return sorted((item for item in self.training if item["reference"]), key=lambda item: item["class"])

    def items(self, section: str) -> list[dict[str, Any]]:
        """The items of "training" or "validation" (ValueError for another section)."""
        if section not in MINED_SECTIONS:
            raise ValueError(
                f"section: must be one of {', '.join(MINED_SECTIONS)}; found {section!r}. Choose one of them."
            )
        return getattr(self, section)

    @classmethod
    def load(cls, path: str | Path) -> "PatternTable":
        """Read a table; file names become absolute.

        Args:
            path: as written by `save`, or by hand.

        Raises:
            DatalistError: unreadable, malformed, of a newer format, or volumes that cubes come from are absent (how
                many, and the first three).
        """
        path = Path(path)
        table = cls(**_read(path))
        table.validate(path)
        names = dict.fromkeys(item["image"] for item in (*table.training, *table.validation))
        absent = [name for name in names if not Path(name).exists()]
        if absent:
            raise DatalistError(
                f"{path}: its volumes must be there; found {len(absent)} of {len(names)} absent, the first "
                f"{', '.join(absent[:3])}. Mount the disk, or move the table along with the volumes: paths are "
                "relative to its folder."
            )
        return table

    def save(self, path: str | Path) -> None:
        """Write the table as JSON, whole or not at all; file names become relative to its folder.

        Raises:
            DatalistError: the table breaks a rule.
            OutputError: the file cannot be written.
        """
        path = Path(path)
        self.validate(path)
        write_text(path, self._text(path.parent.absolute()))

    def validate(self, path: str | Path = "pattern table") -> None:
        """Refuse a table that breaks a rule (DatalistError).

        Args:
            path: what errors call the table.
        """
        shapes = {volume.image: volume.shape for volume in self.volumes}
        if len(shapes) < len(self.volumes):
            raise DatalistError(
                f"{path}: must list each volume once; found {len(self.volumes) - len(shapes)} of them twice. Take them "
                "out."
            )
        cube_size = _checked_size(self.settings, path)
        for section in MINED_SECTIONS:
            for i, item in enumerate(self.items(section)):
                broken = _broken_rule(item, shapes, cube_size)
                if broken:
                    raise DatalistError(
                        f"{path}: items must keep the rules of a table; found that item {i} of {section!r} {broken}. "
                        "Mine the table anew."
                    )
        known = {item["class"] for item in self.training}
        lacking = sorted((set(range(self.num_classes)) | {item["class"] for item in self.validation}) - known)
        if lacking or not known:
            what = f"class {lacking[0]} has no training item" if lacking else "it has no training items"
            raise DatalistError(f"{path}: each class must have training items; found that {what}. Mine the table anew.")
        references = Counter(item["class"] for item in self.references)
        odd = next((number for number in range(self.num_classes) if references[number] != 1), None)
        if odd is not None:
            raise DatalistError(
                f"{path}: each class must have 1 reference; found {references[odd]} of class {odd}. Mine the table "
                "anew."
            )

    def _text(self, folder: Path) -> str:
        """One line an item: a table of 30 000 stays readable, and small."""
        rows = {"volumes": [asdict(volume) for volume in self.volumes]}
        rows |= {section: self.items(section) for section in MINED_SECTIONS}
        # a folder is asked for once a volume, not once an item
        relative = {volume.image: _relative(volume.image, folder) for volume in self.volumes}
        parts = [f'"format": {FORMAT}', f'"settings": {json.dumps(self.settings)}']
        for name, listed in rows.items():
            lines = ",\n".join(json.dumps(_renamed(row, relative[row["image"]])) for row in listed)
            parts.append(f'"{name}": [\n{lines}\n]')
        return "{\n" + ",\n".join(parts) + "\n}\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatalistError(
            f"{path}: must be a table of patterns; found no file, looked for from {Path.cwd()}. Check the path; "
            "`medgenesis mine` makes one."
        ) from error
    except (OSError, ValueError) as error:
        raise DatalistError(f"{path}: cannot be read as a table of patterns ({error}). Mine it anew.") from error
    parts = ("settings", "volumes", *MINED_SECTIONS)
    if not isinstance(found, dict) or not isinstance(found.get("format"), int):
        raise DatalistError(
            f'{path}: a table of patterns must be an object with a whole number "format"; found none. Mine it anew.'
        )
    if found["format"] > FORMAT:
        raise DatalistError(
            f"{path}: its format must be {FORMAT} or less; found {found['format']}, of a later version. Update "
            "medgenesis."
        )
    for part in parts:
        kind = dict if part == "settings" else list
        if not isinstance(found.get(part), kind):
            raise DatalistError(
                f"{path}: {part!r} must be a {kind.__name__}; found {found.get(part)!r:.40}. Mine it anew."
            )
    folder = path.parent.absolute()
    try:
        located = {part: [_located(row, folder) for row in found[part]] for part in parts[1:]}
        volumes = [VolumeInfo(**row) for row in located["volumes"]]
    except (TypeError, KeyError, ValueError) as error:
        raise DatalistError(
            f"{path}: volumes and items must have their fields; found one malformed ({error}). Mine it anew."
        ) from error
    return {**located, "settings": found["settings"], "volumes": volumes}


def _located(row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return _renamed(row, os.path.normpath(folder / row["image"]))


def _renamed(row: Mapping[str, Any], image: str) -> dict[str, Any]:
    """With another name of its file, which also stands for the patient where none is known."""
    patient = {"patient": image} if row.get("patient") == row["image"] else {}
    return {**row, "image": image, **patient}


def _relative(image: str, folder: Path) -> str:
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:  # another drive
        return Path(image).as_posix()


def _checked_size(settings: Mapping[str, Any], path: str | Path) -> list[int]:
    """The setting `cube_size`, which cubes are cut or resized to."""
    size = settings.get("cube_size")
    if not (isinstance(size, list) and len(size) == 3 and all(_whole(side) and side > 0 for side in size)):
        raise DatalistError(
            f'{path}: its settings must have a "cube_size" of three whole numbers from 1; found {size!r}. Mine the '
            "table anew."
        )
    return size


def _broken_rule(item: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], cube_size: Sequence[int]) -> str | None:
    """What is wrong with an item, or None."""
    image = item.get("image")
    if image not in shapes:
        return f"is of {image}, which is not among the volumes"
    if not _whole(item.get("class")) or item["class"] < 0:
        return f'has "class" {item.get("class")!r}, which must be a whole number from 0'
    if item.get("resolution") not in (1, 2, 3) or not isinstance(item.get("reference"), bool) or "distance" not in item:
        return 'needs a "resolution" of 1, 2 or 3, a "reference" (true or false) and a "distance"'
    shape, origin, size = shapes[image], item.get("origin"), item.get("size")
    for name, place in (("origin", origin), ("size", size)):
        if not isinstance(place, list) or len(place) != len(shape) or not all(map(_whole, place)):
            return f'has "{name}" {place!r}, which must be {len(shape)} whole numbers'
    if min(origin) < 0 or min(size) < 1 or any(a + b > c for a, b, c in zip(origin, size, shape, strict=True)):
        return f"(of {image}) leaves its volume: origin {origin}, size {size}, shape {list(shape)}"
    if item["resolution"] == 1 and size != cube_size:
        return f'has "size" {size}, which at resolution 1 must be the setting "cube_size", {cube_size}'
    return None


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
