"""Copies of one scan under several patients' names: told from the files before they are read."""

import logging
from collections.abc import Mapping, Sequence

from medgenesis.data.image_fingerprints import all_fingerprints
from medgenesis.errors import first_few

logger = logging.getLogger(__name__)

_SHOWN = 3  # pairs in a message


def warn_of_copies(records: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Warn of files that are copies of another patient's: mining would take them for a patient who resembles the other.

    Told by `image_fingerprints`, for which no volume is read: a copy that was converted or compressed again is not
    noticed.

    Args:
        records: `image`, `patient` and `section`, as of `records_to_mine`.

    Returns:
        Of each such file its name, behind that of the first file with its content.
    """
    first: dict[str, Mapping[str, str]] = {}
    copies = []
    for record, prints in zip(records, all_fingerprints(records), strict=True):
        for one in prints:
            known = first.setdefault(one, record)
            if known["patient"] != record["patient"]:
                copies.append((known["image"], record["image"]))
    if copies:
        shown = first_few([f"{one} and {other}" for one, other in copies], _SHOWN, "; ")
        logger.warning(
            "%d of %d scans are copies of another patient's (%s): each counts as a patient. Leave them out, or, of "
            "one section, give both one `patient`; `medgenesis check` also finds copies in another format.",
            *(len(copies), len(records), shown),
        )
    return copies
