"""Names of classes, as the headers of lists give them."""

from collections.abc import Mapping, Sequence
from typing import Any


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
