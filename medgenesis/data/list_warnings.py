"""What a list says without effect, or what makes its validation look better than it is: said once a process."""

import functools
import itertools
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medgenesis.data.splits import ALL_SECTIONS, UNLABELED, compared_identities

logger = logging.getLogger(__name__)

RECORD_KEYS = ("image", "label", "patient", "weight", "cube", "series", "intensity", "class", "classes")
_WORDS = {"file": "scan", "patient": "patient"}


def warn_of_list(path: str | Path, datalist: Mapping[str, Any]) -> None:
    """Warn of keys and sections that nothing reads, and of patients and scans in two sections.

    Keys of patients are compared as they are between lists: `P01` is `p1`. The messages name nobody.

    Args:
        path: of the list, for the messages.
        datalist: its sections, records checked.
    """
    present = [section for section in ALL_SECTIONS if section in datalist]
    unknown = Counter(key for section in present for one in datalist[section] for key in one if key not in RECORD_KEYS)
    if unknown:
        listed = ", ".join(f"{key} ({count} records)" for key, count in unknown.most_common(8))
        _once(f"{path}: records have keys that nothing reads: {listed}. What is read: {', '.join(RECORD_KEYS)}")
    for section, records in datalist.items():
        if section not in ALL_SECTIONS and _are_records(records):
            _once(
                f"{path}: the section {section!r} is not read, {len(records)} records. What is read: "
                f"{', '.join(ALL_SECTIONS)}"
            )
    identities = {section: compared_identities(datalist[section]) for section in present}
    for one, other in itertools.combinations(present, 2):
        if {one, other} != {"training", UNLABELED}:  # both are learnt from
            for kind, count in Counter(kind for kind, *_ in identities[one] & identities[other]).items():
                _once(
                    f"{path}: {one} and {other} share {count} {_WORDS[kind]}(s): what is measured there is not of "
                    "unseen patients. `medgenesis check` lists the records"
                )


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "image" in one for one in value)


@functools.lru_cache(maxsize=1000)
def _once(message: str) -> None:
    logger.warning("%s", message)
