"""Whether label maps whose files name their segments mean the same by a label."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from medgenesis.errors import DatalistError
from medgenesis.io.segments import segment_names


class Disagreement(NamedTuple):
    """What two files say otherwise."""

    what: str
    rule: str
    first: str
    file: str
    other: str
    other_file: str


def names_in_map(file: str, labels: Collection[int]) -> dict[int, str]:
    """Names of the segments of a label map that has these labels, as far as the file gives them."""
    return {label: name for label, name in segment_names(file).items() if label in labels}


def check_segments(names_of: Mapping[str, Mapping[int, str]], target: Mapping[int, int] | None = None) -> None:
    """Raise DatalistError, with both files, where `find_disagreement` finds one."""
    if found := find_disagreement(names_of, target):
        raise DatalistError(
            f"{found.what}: {found.rule} in all label maps; found {found.first} in {found.file} and {found.other} in "
            f"{found.other_file}. Give each structure one label and one name in all files: in 3D Slicer, rename "
            "segments that are the same, or export all segmentations as label maps by one colour table."
        )


def find_disagreement(
    names_of: Mapping[str, Mapping[int, str]], target: Mapping[int, int] | None = None
) -> Disagreement | None:
    """The first label of two names, or name of two labels; None where all agree.

    Args:
        names_of: file -> label -> name, of the labels that it holds.
        target: stored label -> class, where labels are merged. Labels of one class may change their names, and those
            that become background.
    """
    sizes = Counter((target or {}).values())

    def class_of(label: int) -> int:
        return label if target is None else target.get(label, 0)

    def is_merged(label: int) -> bool:
        return target is not None and (class_of(label) == 0 or sizes[class_of(label)] > 1)

    by_label: dict[int, tuple[str, str]] = {}
    by_name: dict[str, tuple[int, str]] = {}
    for file, names in names_of.items():
        times = Counter(map(_alike, names.values()))
        for label, name in names.items():
            before, where = by_label.setdefault(label, (name, file))
            if _alike(before) != _alike(name) and not is_merged(label):
                return Disagreement(f"label {label}", "must be one structure", repr(before), where, repr(name), file)
            if times[_alike(name)] > 1:  # lesions, one a label
                continue
            other, where = by_name.setdefault(_alike(name), (label, file))
            if class_of(other) != class_of(label):
                return Disagreement(f"segment {name!r}", "must have one label", str(other), where, str(label), file)
    return None


def _alike(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name.casefold()))
