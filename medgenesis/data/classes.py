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
        every: each class must occur, as it must where an AUC chooses the best network; else a warning names those that
            do not.

    Raises:
        DatalistError: how many records are wrong, and the first of them; or the classes that do not occur.
    """
    _check_each_class(records, num_classes)
    lacking = sorted(set(range(num_classes)) - {record["class"] for record in records})
    if records and len(lacking) == num_classes - 1 and num_classes > 1 and not every:
        raise DatalistError(
            f"class: training must have records of two classes at least; found class {records[0]['class']} alone "
            f"among {len(records)}. Move some of another class there."
        )
    if lacking and records and not every:
        said = ", ".join(map(str, lacking))
        logger.warning("class: of %d to learn none of %d records has class %s", num_classes, len(records), said)
    if every and lacking:
        raise DatalistError(
            f"class: validation must have records of each, for the AUC; found none of class {lacking[0]} among "
            f"{len(records)}. Move some there from the training section."
        )
    return records


def check_findings(records: list[dict], num_classes: int, every: bool = False) -> list[dict]:
    """The same records, all of which must have `classes`: 0 or 1 for each of num_classes findings.

    Args:
        records: as from `load_datalist`.
        num_classes: how many findings there are.
        every: each must be present in one record at least and absent from another, as it must where an AUC chooses the
            best network; else a warning names those that no record has.

    Raises:
        DatalistError: how many records are wrong, and the first of them; or the first finding without an AUC.
    """
    _check_each_finding(records, num_classes)
    counts = [sum(record["classes"][finding] for record in records) for finding in range(num_classes)]
    constant = [finding for finding, count in enumerate(counts) if count in (0, len(records))]
    absent = [finding for finding in constant if records and counts[finding] == 0]
    if absent and not every:
        said = ", ".join(map(str, absent))
        logger.warning("classes: of %d findings none of %d records has finding %s", num_classes, len(records), said)
    if every and constant:
        raise DatalistError(
            "classes: validation must have records with and without each finding, for the AUC; found finding "
            f"{constant[0]} in {counts[constant[0]]} of {len(records)}. Move some there from the training section."
        )
    return records


def check_known(records: list[dict], num_classes: int, multi_label: bool = False) -> None:
    """Refuse a class or findings that a classifier cannot have; records without any are to be classified alone.

    Args:
        records: as from `load_datalist`.
        num_classes: how many the classifier tells apart.
        multi_label: they are findings, `classes`, not one `class`.

    Raises:
        DatalistError: how many records are wrong, and the first of them.
    """
    key, check = ("classes", _check_each_finding) if multi_label else ("class", _check_each_class)
    check([record for record in records if record.get(key) is not None], num_classes)


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
            "classes: validation must have records with and without a finding, for the AUC; found each finding in all "
            f"{len(records)} or in none. Move some there from the training section."
        )
    if others:
        logger.warning("findings %s have no AUC: all of %d records to validate on are alike", others, len(records))
    return judged


def are_findings(classes: Any) -> bool:
    """Whether it is a list of 0 and 1."""
    return isinstance(classes, list) and all(type(value) is int and value in (0, 1) for value in classes)


def _check_each_class(records: list[dict], num_classes: int) -> None:
    wrong = [record for record in records if record.get("class") not in range(num_classes)]
    if wrong:
        raise DatalistError(
            f"class: each record must have one from 0 to {num_classes - 1}; found {len(wrong)} of {len(records)} "
            f"without, the first {wrong[0]['image']} ({wrong[0].get('class')!r}). Add it to the datalist, or change "
            "`num_classes`."
        )


def _check_each_finding(records: list[dict], num_classes: int) -> None:
    wrong = [
        record for record in records if not are_findings(record.get("classes")) or len(record["classes"]) != num_classes
    ]
    if wrong:
        raise DatalistError(
            f"classes: each record must have {num_classes} numbers; found {len(wrong)} of {len(records)} without, the "
            f"first {wrong[0]['image']} ({wrong[0].get('classes')!r}). Add them to the datalist, or change "
            "`num_classes`."
        )
