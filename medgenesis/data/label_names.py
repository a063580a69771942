"""Names of classes, as the headers of lists give them."""

from collections.abc import Mapping, Sequence
from typing import Any

from medgenesis.errors import DatalistError

_IGNORED = "ignore"  # of nnU-Net: voxels that nobody has labelled


def label_names(labels: Any, merge: Mapping[int, Sequence[int]] | None = None) -> dict[int, str]:
    """Names of the classes, from a list's header.

    Args:
        labels: the header's `labels`: {"1": "liver"}, {"liver": 1}, or a list of names.
        merge: class -> stored labels; names of stored labels are then joined to those of the classes.
    """
    pairs = enumerate(labels) if isinstance(labels, list) else labels.items() if isinstance(labels, dict) else ()
    names: dict[int, str] = {}
    for key, value in pairs:
        if isinstance(value, int):  # nnU-Net's way
            key, value = value, key
        if str(key).isdecimal():
            names[int(key)] = str(value)
    if merge is None or names.keys() <= {0, *merge}:  # of the classes already
        return names
    merged = {value: "+".join(names[source] for source in own if source in names) for value, own in merge.items()}
    return {value: name for value, name in merged.items() if name}


def without_ignored(names: Mapping[int, str], found: Mapping[str, Mapping[int, int]]) -> dict[int, str]:
    """The names without nnU-Net's `ignore`, which is no class to learn.

    Args:
        names: label -> name, of label maps that are learnt as they are.
        found: labels that occur, by section.

    Raises:
        DatalistError: voxels have that label: the losses here leave none out.
    """
    kept = {value: name for value, name in names.items() if name.casefold() != _IGNORED}
    for section, labels in found.items():
        for value in names.keys() - kept.keys():
            if value in labels:
                raise DatalistError(
                    f"labels: voxels that the list calls 'ignore' cannot be left out of the loss; found label {value} "
                    f"in the section {section!r}, which would be learnt as a class. Make it background by "
                    f"`label_merge`, { ({one: [one] for one in kept if one}) }, or label these voxels."
                )
    return kept
