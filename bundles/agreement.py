"""Settings of a task beside those that its model was trained with: what must agree, and what is said."""

import logging
from collections.abc import Mapping
from typing import Any

from medgenesis.bundles.reading import Reading
from medgenesis.bundles.shared import Settings
from medgenesis.data.labels import parse_label_merge

logger = logging.getLogger(__name__)

_SHAPE = ("width", "backbone", "slices")  # of the network: whatever the task, weights fit one alone
_OF_DATA = ("in_channels", "num_classes", "label_merge")  # of a training: not asked here, before a file is read
_FREE = ("cube_size", "size", "crop_criterion", "preset")  # where it is applied, not what it sees


def compare_with_model(reading: Reading, settings: Settings) -> None:
    """Refuse settings that differ from those of the model where its weights would mean nothing; say the others.

    A task that applies a model as it is (`Settings.applied`) must prepare what it sees as in training. One that trains
    further may prepare it otherwise, which is said.

    Args:
        reading: what evaluates the config.
        settings: of the bundle and the model, as from `settings`.

    Raises:
        ValueError: a setting that must agree does not, or a class that the model has is another number in the list.
    """
    _compare_with_table(reading, settings)
    for id in sorted(settings.model.keys() & reading.parser.get().keys()):
        if not settings.applied and id in _OF_DATA:
            continue
        wanted, found = settings.model[id], reading.parser.get_parsed_content(id)
        if _same(wanted, found) or (id == "label_merge" and _merged(wanted) == _merged(found)):
            continue
        if id in _SHAPE or (settings.applied and id not in _FREE):
            raise ValueError(
                f"{id}: must be as {settings.source} was made with, {wanted}; found {found}. Leave it out (of the "
                "command and its overlays), or give weights that were made with it."
            )
        logger.warning("%s: %s here; %s was made with %s", id, found, settings.source, wanted)
    if settings.applied:
        _check_names(reading, settings)
    _say_intensities(reading, settings)


def _compare_with_table(reading: Reading, settings: Settings) -> None:
    """Places in a pattern table are voxels of volumes that were prepared in one way."""
    for id in sorted(settings.mined.keys() & reading.parser.get().keys()):
        wanted, found = settings.mined[id], reading.parser.get_parsed_content(id)
        if not _same(wanted, found):
            raise ValueError(
                f"{id}: must be as {settings.table} was mined with, {wanted}; found {found}. Leave it out (of the "
                "command and its overlays), or mine with it."
            )


def _check_names(reading: Reading, settings: Settings) -> None:
    """Classes are compared by their numbers: `liver` of the model with `tumour` of a list that names them otherwise."""
    known = {int(value): str(name) for value, name in (settings.model.get("label_names") or {}).items()}
    if not known or "labels" not in reading.parser.get():
        return
    number = {name.casefold(): value for value, name in known.items()}
    found = getattr(reading.parser.get_parsed_content("labels"), "names", {})
    for value, name in found.items():
        if number.get(name.casefold(), value) != value:
            raise ValueError(
                f"labels: classes must be numbered as {settings.source} was made with; found {name!r} as {value} in "
                f"the list, where the model has it as {number[name.casefold()]}. Number the label maps alike, by "
                "`label_merge` for example, or correct the names in the list."
            )
        if value in known and known[value].casefold() != name.casefold():
            logger.warning("labels: %d is %r in the list, %r in %s", value, name, known[value], settings.source)


def _say_intensities(reading: Reading, settings: Settings) -> None:
    """Whether the network sees values as in its pre-training; where they differ, that is said above."""
    if not settings.model or "intensity" not in reading.parser.get():
        return
    found = reading.parser.get_parsed_content("intensity")
    if "intensity" not in settings.model:
        logger.warning("intensity: %s here; %s does not say what it was made with", found, settings.source)
    elif _same(settings.model["intensity"], found):
        logger.info("intensity: %s, as %s was made with", found, settings.source)


def _merged(merge: Any) -> dict[int, list[int]]:
    """Classes and their labels, one by one: a range may be typed."""
    return {target: sorted(sources) for target, sources in parse_label_merge(merge or {}).items()}


def _same(wanted: Any, found: Any) -> bool:
    """Equal as numbers and words; [6, 6, 6] and 6 are not told apart by a list or tuple, 6 and 6.0 not at all."""
    if isinstance(wanted, Mapping) or isinstance(found, Mapping):
        wanted, found = wanted or {}, found or {}
        if not (isinstance(wanted, Mapping) and isinstance(found, Mapping)) or len(wanted) != len(found):
            return False
        other = {str(key): value for key, value in found.items()}
        return all(str(key) in other and _same(value, other[str(key)]) for key, value in wanted.items())
    if isinstance(wanted, (list, tuple)) and isinstance(found, (list, tuple)):
        return len(wanted) == len(found) and all(map(_same, wanted, found))
    if isinstance(wanted, (list, tuple)) or isinstance(found, (list, tuple)):
        several, one = (wanted, found) if isinstance(wanted, (list, tuple)) else (found, wanted)
        return one is not None and all(_same(one, value) for value in several)
    return wanted == found
