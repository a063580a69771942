"""From what a command names to a datalist: a file, a folder, a data set of the registry."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.datalists import load_datalist, read_datalist
from medgenesis.data.folders import make_datalist
from medgenesis.data.given_sections import section_folders
from medgenesis.data.splits import ALL_SECTIONS
from medgenesis.datasets import DATASETS, get_dataset
from medgenesis.datasets.medmnist import unpack_medmnist
from medgenesis.datasets.shared_folder import data_folder
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)


_NOT_OPTIONS = {"root", "split", "splits", "seed", "name", "unpack_to"}  # of a data set's function


def options_of(named: str) -> dict[str, Any]:
    """The options that a data set of the registry takes (`finding` of CheXpert, …), each with its default."""
    known = DATASETS.get(named.partition("=")[0])
    taken = inspect.signature(known.datalist).parameters if known else {}
    return {name: one.default for name, one in taken.items() if name not in _NOT_OPTIONS}


def named_datalist(
    named: str, folder: Path, reference: bool = False, options: Mapping[str, Any] | None = None
) -> tuple[str, Mapping[str, Any]]:
    """The name of a data set and its datalist.

    Args:
        named: see `open_study_set`.
        folder: where images of one file are unpacked to.
        reference: the study's own split.
        options: of the data set, see `options_of`; texts are read as their defaults are.

    Raises:
        ValueError: an option that the data set does not take, or of another type.
        DatalistError: no such data set, or no split of the study; what reading it raises.
    """
    own = _as_defaults(options or {}, options_of(named), named)
    known, equals, root = named.partition("=")
    path = Path(named)
    if known in DATASETS and (equals or not path.exists()):
        dataset = get_dataset(known)
        where = Path(root) if equals else data_folder() / known
        if not where.is_dir():
            raise DatalistError(
                f"{known}: must lie in a folder; found none at {where.absolute()}. Write {known}=DIR, or set "
                "MEDGENESIS_DATA to the folder that holds it."
            )
        taken = inspect.signature(dataset.datalist).parameters
        if reference and "split" not in taken:
            raise DatalistError(f"{known}: must have the study's own split; found none. Leave --reference-split out.")
        own |= {"split": "reference"} if reference else {}
        own |= {"unpack_to": str(folder / "unpacked" / known)} if "unpack_to" in taken else {}
        return known, dataset(where, **own)
    if reference:
        raise DatalistError(f"{named}: must be a data set of the study; found another. Leave --reference-split out.")
    shared = data_folder() / named
    if not path.exists() and shared.is_dir():  # a folder with a MedMNIST file
        path = min(shared.glob("*.npz"), key=lambda one: one.stat().st_size, default=path)
    medmnist = path.suffix.lower() == ".npz"
    if medmnist:
        path = unpack_medmnist(path, folder / "unpacked" / path.stem)
    if path.suffix.lower() == ".json":
        datalist = read_datalist(path)
        sections = {one: load_datalist(path, one) for one in ALL_SECTIONS if one in datalist}
        if medmnist:
            sections = {one: _rows_apart(records, one) for one, records in sections.items()}
        return str(datalist.get("name") or path.stem), {**datalist, **sections}
    if path.is_dir():
        return path.resolve().name, _of_folders(path)
    raise DatalistError(
        f"dataset: must be a list (.json), a MedMNIST file (.npz), a folder with a folder for each class, or one of "
        f"{', '.join(sorted(DATASETS))}, as NAME=DIR; found {named!r}. Check the path."
    )


def _as_defaults(options: Mapping[str, Any], taken: Mapping[str, Any], named: str) -> dict[str, Any]:
    """Options as values of their defaults' types."""
    found, known = {}, ", ".join(f"{name}={value}" for name, value in taken.items()) or "none"
    for name, value in options.items():
        try:
            found[name] = type(taken[name])(value)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"options: must be some that {named} takes, {known}; found {name}={value}. Correct or leave it out."
            ) from error
    return found


def _of_folders(path: Path) -> dict[str, Any]:
    """A list of a folder's classes; where its folders give no sections, all in one, to be split as other lists are."""
    inner = [one for one in sorted(path.iterdir()) if one.is_dir() and not one.name.startswith(".")]
    empty = [one.name for one in inner if not any(file.is_file() for file in one.rglob("*"))]
    if empty:
        logger.warning("%s: %d folder(s) without a file are no classes: %s", path, len(empty), ", ".join(empty[:5]))
    splits = None if section_folders(path) else (1.0, 0.0, 0.0)
    return make_datalist(path, classes=(), splits=splits)


def _rows_apart(records: Sequence[Mapping[str, Any]], section: str) -> list[dict]:
    """Of a MedMNIST file of volumes each row is a patient of its own, though all lie in one file."""
    return [{**one, "patient": f"{section} {one['cube']}"} if "cube" in one else dict(one) for one in records]


def check_once(datalist: Mapping[str, Any], named: str) -> None:
    """Refuse an image that stands in two sections, and tell of one that stands twice in one.

    Raises:
        DatalistError: an image of training that is judged too.
    """
    places: dict[tuple, list[str]] = {}
    for section in ALL_SECTIONS:
        for record in datalist.get(section, ()):
            key = tuple(str(record.get(part)) for part in ("image", "series", "cube"))
            places.setdefault(key, []).append(section)
    twice = {key: found for key, found in places.items() if len(found) > 1}
    for (image, *_), found in twice.items():
        sections = list(dict.fromkeys(found))
        if len(sections) > 1:
            raise DatalistError(
                f"{named}: an image must stand in one section; found {Path(image).name} in {' and '.join(sections)}. "
                "Take it out of one."
            )
    if twice:
        (first, *_), *_ = twice
        logger.warning("%s: %d image(s) are listed twice, and count twice: %s …", named, len(twice), Path(first).name)
