"""What the records of a list are to be named: one class each, or several findings."""

import logging
from typing import Any

from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)


def check_classes(records: list[dict], num_classes: int, every: bool = False) -> list[dict]:
    """The same records, all of which must have a whole number `class` from 0 to num_classes - 1.

    Args:
        records: as from `load_datalist`.
        num_classes: how many there are.
        every: each class must occur, as it must where an AUC chooses the best network.

    Raises:
        DatalistError: how many records are wrong, and the first of them; or the classes that do not occur.
    """
    wrong = [record for record in records if record.get("class") not in range(num_classes)]
    if wrong:
        raise DatalistError(
            f"{len(wrong)} of {len(records)} records have no `class` from 0 to {num_classes - 1}, the first "
            f"{wrong[0]['image']} ({wrong[0].get('class')!r}): add it to the datalist, or change `num_classes`"
        )
    lacking = sorted(set(range(num_classes)) - {record["class"] for record in records})
    if every and lacking:
        raise DatalistError(
            f"of the {len(records)} records to validate on none is of class {lacking[0]}, so that no AUC can be "
            "computed: move some there from the training section"
        )
    return records


def check_findings(records: list[dict], num_classes: int, every: bool = False) -> list[dict]:
    """The same records, all of which must have `classes`: 0 or 1 for each of num_classes findings.

    Args:
        records: as from `load_datalist`.
        num_classes: how many findings there are.
        every: each must be present in one record at least and absent from another, as it must where an AUC chooses the
            best network.

    Raises:
        DatalistError: how many records are wrong, and the first of them; or the first finding without an AUC.
    """
    wrong = [
        record for record in records if not are_findings(record.get("classes")) or len(record["classes"]) != num_classes
    ]
    if wrong:
        raise DatalistError(
            f"{len(wrong)} of {len(records)} records have no `classes` of {num_classes} numbers, the first "
            f"{wrong[0]['image']} ({wrong[0].get('classes')!r}): add them to the datalist, or change `num_classes`"
        )
    counts = [sum(record["classes"][finding] for record in records) for finding in range(num_classes)]
    constant = [finding for finding, count in enumerate(counts) if count in (0, len(records))]
    if every and constant:
        raise DatalistError(
            f"of the {len(records)} records to validate on {counts[constant[0]]} have finding {constant[0]}, so that "
            "no AUC can be computed: move some there from the training section"
        )
    return records


def judged_findings(records: list[dict], num_classes: int) -> list[int]:
    """The findings that have an AUC, as some records have them and others do not; a warning names the rest.

    Args:
        records: to validate on, as `check_findings` gives them.
        num_classes: how many findings there are.

    Raises:
        DatalistError: no finding has an AUC.
    """
    judged = [place for place in range(num_classes) if len({record["classes"][place] for record in records}) == 2]
    others = [place for place in range(num_classes) if place not in judged]
    if not judged:
        raise DatalistError(
            f"of the {len(records)} records to validate on, each finding is in all or in none, so that no AUC can be "
            "computed: move some there from the training section"
        )
    if others:
        logger.warning("findings %s have no AUC: all of %d records to validate on are alike", others, len(records))
    return judged


def are_findings(classes: Any) -> bool:
    """Whether it is a list of 0 and 1."""
    return isinstance(classes, list) and all(type(value) is int and value in (0, 1) for value in classes)
