"""Which classes are learnt: the labels of the maps as they are, or merged on request, and how many there are."""

import itertools
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch.utils.data

from medgenesis.data.checks import check_whole_numbers
from medgenesis.data.datalists import read_datalist
from medgenesis.data.label_layers import JoinLabelLayersd
from medgenesis.data.label_names import label_names, without_ignored
from medgenesis.data.labels import parse_label_merge
from medgenesis.data.pipeline import Preprocessing, find_domain_error
from medgenesis.data.reading import read_in_order
from medgenesis.data.records import files_of
from medgenesis.data.remembered import RememberedChecks
from medgenesis.data.segment_names import check_segments, names_in_map
from medgenesis.data.splits import SECTIONS
from medgenesis.data.volume_check import VolumeCheck
from medgenesis.distributed import once_a_node
from medgenesis.errors import DatalistError, VolumeError, first_few
from medgenesis.io.volume_reader import LoadVolumed

logger = logging.getLogger(__name__)

_SHOWN = 12  # labels in a message
_MOST_EMPTY = 20  # classes without a voxel before the number of classes is questioned


@dataclass(frozen=True)
class ChosenLabels:
    """What `choose_labels` has found."""

    merge: dict[int, list[int]] | None
    """Class -> stored labels; None: as they are."""
    num_classes: int
    """Background included."""
    names: dict[int, str] = field(default_factory=dict)
    """Of the classes, as far as the list names them."""
    voxels: dict[int, int] = field(default_factory=dict)
    """Of each class in the first section."""
    classes_of: dict[str, frozenset[int]] = field(default_factory=dict)
    """Of each map that could be read: its classes."""

    @property
    def declared(self) -> dict[int, str]:
        """The classes that the list names or the merge makes, with their names ("": none)."""
        return {**dict.fromkeys(self.merge or (), ""), **self.names}

    def of(self, records: Sequence[dict]) -> list[frozenset[int]]:
        """The classes of each record's map, without the background; none of one that could not be read."""
        return [self.classes_of.get(_key(record), frozenset()) - {0} for record in records]

    def check_left(self, **sections: Sequence[dict]) -> None:
        """Raise DatalistError where the records that are left of a section, as some were skipped, lack foreground."""
        for section, records in sections.items():
            left = [self.classes_of[key] for key in map(_key, records) if key in self.classes_of]
            if left and not any(set().union(*left)):
                raise _no_foreground(section, f" of the records that are left, {len(left)},")


def choose_labels(
    sections: Mapping[str, Sequence[dict]],
    label_merge: Mapping[int | str, Any] | None = None,
    *,
    datalist: str | Path | None = None,
    cache_dir: str | Path | None = None,
    num_workers: int = 0,
    on_error: str = "stop",
    may_be_empty: Sequence[str] = (),
) -> ChosenLabels:
    """Look through the label maps, once, and decide what is learnt from them.

    Labels are learnt as they are, unless a merge is given or stands in the header of the list. What a merge drops is
    said, with the numbers of voxels.

    Args:
        sections: records of each section that is learnt from or judged on; the first decides what labels there are.
        label_merge: class -> stored labels, `{1: "10-14"}`; `{}` keeps labels as they are whatever the header says;
            None takes the header's, if it has one.
        datalist: the list, whose header may hold `label_merge` and `labels` (names). It counts only if the maps
            are of this list: a task may be given others (MONAI Label gives its own), and then the file may be absent.
        cache_dir: folder that remembers what was found, so that each map is read once.
        num_workers: processes that read.
        on_error: "skip" passes over maps that cannot be read; whoever reads the volumes says so.
        may_be_empty: sections whose maps may have no foreground, because they are answered whatever they show.

    Raises:
        DatalistError: the merge is no mapping, or matches no label of the first section; a section's maps have no
            foreground, or, without a merge, a label that the list calls "ignore"; files that name their segments
            (3D Slicer) mean another structure by the same label.
        VolumeError: (`on_error="stop"`) a label map that cannot be read, or is none.

    Notes:
        Under `torch.distributed` every process must call it: one of each machine reads.
    """
    header = _header(datalist, sections)
    merge = _merge(label_merge, header, str(datalist))
    maps = once_a_node(lambda: _read_all(sections, cache_dir, num_workers, on_error, merge is None))
    counts = {
        section: dict(sorted(sum(map(Counter, found.values()), Counter()).items())) for section, found in maps.items()
    }
    first = next(iter(counts))
    target = None if merge is None else {source: value for value, sources in merge.items() for source in sources}
    classes = {section: _classes(found, target) for section, found in counts.items()}
    _check_segments(sections, maps, target)
    if target is not None:
        _compare(first, counts[first], target)
    for section, found in classes.items():
        if section not in may_be_empty and found and not any(found[value] for value in found if value):
            raise _no_foreground(section)
    names = label_names(header.get("labels"), merge)
    if merge is None:
        names = without_ignored(names, counts)
    number = 1 + max([*names, *(merge or ()), *(value for found in classes.values() for value in found), 0])
    if classes[first]:
        _say(first, classes[first], number, names)
    every = {key: frozenset(_classes(one, target)) for found in maps.values() for key, one in found.items()}
    return ChosenLabels(merge, number, names, dict(classes[first]), every)


def _no_foreground(section: str, which: str = "") -> DatalistError:
    return DatalistError(
        f"{section}: label maps{which} must have foreground; found none in this section, only background, so that "
        "no network can be learnt from it or judged on it. Move records with labels there, or leave the section empty."
    )


def _header(datalist: str | Path | None, sections: Mapping[str, Sequence[dict]]) -> Mapping[str, Any]:
    """What the list says, if the label maps are those that it names."""
    if datalist is None or not Path(datalist).is_file():
        return {}
    whole = read_datalist(datalist)
    used = _label_files(record for records in sections.values() for record in records)
    if used <= _label_files(record for section in SECTIONS for record in whole.get(section, [])):
        return whole
    if whole.get("label_merge") or whole.get("labels"):
        logger.warning("%s: its label_merge and labels are left aside, for the label maps are not of it", datalist)
    return {}


def _label_files(records: Iterable[dict]) -> set[str]:
    labels = [{"label": one["label"]} for one in records if "label" in one]
    return {os.path.normpath(Path(name).absolute()) for one in labels for name in files_of(one)}


def _merge(given: Mapping | None, header: Mapping[str, Any], name: str) -> dict[int, list[int]] | None:
    if given is None and header.get("label_merge"):
        logger.info("label_merge: that of the header of %s", name)
        given = header["label_merge"]
    elif given is not None and header.get("label_merge"):
        if parse_label_merge(given) != parse_label_merge(header["label_merge"]):
            logger.warning("label_merge: %s, not that of the header of %s", dict(given) or "labels as they are", name)
    return parse_label_merge(given) if given else None


def _check_segments(
    sections: Mapping[str, Sequence[dict]], maps: Mapping[str, dict], target: Mapping[int, int] | None
) -> None:
    """Refuse files whose names of segments give a label two meanings; `maps` are the labels found, by section."""
    names_of = {
        record["label"]: names_in_map(record["label"], maps[section][_key(record)])
        for section, records in sections.items()
        for record in records
        if isinstance(record.get("label"), str) and _key(record) in maps[section]
    }
    check_segments(names_of, target)


def _classes(found: Mapping[int, int], target: Mapping[int, int] | None) -> Counter[int]:
    classes: Counter[int] = Counter()
    for label, voxels in found.items():
        classes[label if target is None else target.get(label, 0)] += voxels
    return classes


def _compare(section: str, found: Mapping[int, int], target: Mapping[int, int]) -> None:
    """Refuse a merge that matches nothing; say what it drops, and which classes it leaves empty."""
    labels = {label: voxels for label, voxels in found.items() if label}
    if labels and not any(target.get(label) for label in labels):
        raise DatalistError(
            f"label_merge: must name labels that occur; found {first_few(target, _SHOWN)}, and in the section "
            f"{section!r} the labels {first_few(labels, _SHOWN)} alone. Correct it, or leave it out: labels are then "
            "learnt as they are."
        )
    dropped = {label: voxels for label, voxels in labels.items() if label not in target}
    if dropped:
        said = first_few([f"{label} ({voxels} voxels)" for label, voxels in dropped.items()], _SHOWN)
        logger.warning("label_merge: drops labels of the section %r, they become background: %s", section, said)


def _say(section: str, classes: Mapping[int, int], number: int, names: Mapping[int, str]) -> None:
    shown = [f"{value} {names.get(value, '')}".strip() for value in range(1, min(number, _SHOWN + 1))]
    logger.info("%d classes, background included: %s", number, ", ".join(shown))
    filled = {value for value, voxels in classes.items() if value > 0 and voxels}
    empty = number - 1 - len(filled)
    if empty:
        first = itertools.islice((value for value in range(1, number) if value not in filled), _SHOWN)
        more = f" and {empty - _SHOWN} more" if empty > _SHOWN else ""  # there may be 2^31, too many for a list
        logger.warning("classes without a voxel in the section %r: %s%s", section, ", ".join(map(str, first)), more)
    if empty > _MOST_EMPTY:
        merge = first_few([f"{target}: [{label}]" for target, label in enumerate(sorted(filled), 1)], _SHOWN)
        logger.warning("labels are far from each other: group them by `label_merge`, {%s}", merge)


def _read_all(
    sections: Mapping[str, Sequence[dict]], cache_dir, num_workers: int, on_error: str, as_they_are: bool
) -> dict[str, dict]:
    """Voxels of each stored label, a section and a map at a time."""
    load = Preprocessing([LoadVolumed("label", label_keys="label"), JoinLabelLayersd("label")])
    memory = None if cache_dir is None else RememberedChecks(cache_dir, load, VolumeCheck())
    found = {}
    for section, records in sections.items():
        maps = [{key: one[key] for key in ("label", "cube") if key in one} for one in records if "label" in one]
        found[section] = {}
        for one, counted in _read(maps, load, memory, num_workers, on_error):
            below = [label for label in counted if label < 0]
            if below and as_they_are and on_error == "stop":
                raise VolumeError(
                    f"{one['label']}: labels must be 0 or more; found {first_few(below, _SHOWN)}. Name the labels to "
                    "be learnt in `label_merge`: the others become background."
                )
            found[section][_key(one)] = counted
    if memory is not None:
        memory.save()
    return found


def _key(record: dict) -> str:
    return f"{record.get('label')} {record.get('cube', '')}"


def _read(maps: list[dict], load: Preprocessing, memory: RememberedChecks | None, num_workers: int, on_error: str):
    keys = [None if memory is None else memory.key(i, one) for i, one in enumerate(maps)]
    known = {i: row for i, key in enumerate(keys) if memory is not None and (row := memory.get(key)) is not None}
    left = [i for i in range(len(maps)) if i not in known]
    results = read_in_order(_Maps(maps, load), left, num_workers, [str(one["label"]) for one in maps], ahead=2)
    with closing(results):
        for i in range(len(maps)):
            row = known[i] if i in known else next(results)
            if isinstance(row, Exception):
                if on_error == "stop":
                    raise row
                continue
            if memory is not None and i not in known:
                memory.add(keys[i], row)
            yield maps[i], {int(label): voxels for label, voxels in row.items()}


class _Maps(torch.utils.data.Dataset):
    """`maps[i]`: voxels of each label of map i, or why it cannot be read."""

    def __init__(self, maps: list[dict], load: Preprocessing) -> None:
        self.maps, self.load = maps, load

    def __getitem__(self, i: int) -> dict[str, int] | Exception:
        try:
            label = self.load(self.maps[i])["label"]
            check_whole_numbers(label)
        except Exception as error:
            cause = find_domain_error(error)
            if cause is None:
                raise
            return type(cause)(str(cause))
        values, voxels = np.unique(label.numpy(force=True), return_counts=True)
        return {str(int(value)): int(number) for value, number in zip(values, voxels, strict=True)}
