"""Records to the sections of a list: labelled ones split by patient, the others left for pre-training."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medgenesis.data.splits import SECTIONS, UNLABELED, draw_few, split_patients
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sections:
    """How records are split.

    Args:
        splits: shares of the patients for training, validation and test.
        seed: of the split.
        few: labelled patients that training keeps; None keeps all.
        labelled: records have labels or classes, at least some of them.
        by_class: each `class` is split by itself.
        given: section of each patient, where folders say it; `splits` then only draws a validation that they lack.
    """

    splits: Sequence[float]
    seed: int
    few: int | None
    labelled: bool
    by_class: bool
    given: Mapping[str, str] | None = None


def in_sections(records: Sequence[dict], how: Sections) -> dict[str, list[dict]]:
    """The records by section; `unlabeled` only where there are such.

    A scan without label whose patient is in validation or test is left out, with a warning: pre-training must not see
    that patient.

    Raises:
        DatalistError: too few patients, or `few` where nothing has labels.
    """
    if how.few is not None and not how.labelled:
        raise DatalistError("few: must be of labelled scans; found no labels. Give --labels or --classes too.")
    has_label = [not how.labelled or "label" in record or "class" in record for record in records]
    known = [record for record, labelled in zip(records, has_label, strict=True) if labelled]
    others = [record for record, labelled in zip(records, has_label, strict=True) if not labelled]
    strata = _rarest_class(known) if how.by_class else None
    patients = {record["patient"] for record in known}
    if how.given is None:
        section_of = split_patients(patients, how.splits, how.seed, strata)
    else:
        section_of = {**how.given, **_with_validation({one: how.given[one] for one in patients}, how, strata)}
    sections = {one: [record for record in known if section_of[record["patient"]] == one] for one in SECTIONS}
    if how.few is not None:
        chosen = set(draw_few((record["patient"] for record in sections["training"]), how.few, how.seed, strata))
        others += [
            {key: value for key, value in record.items() if key not in ("label", "class")}
            for record in sections["training"]
            if record["patient"] not in chosen
        ]
        sections["training"] = [record for record in sections["training"] if record["patient"] in chosen]
    held_out = [record for record in others if section_of.get(record["patient"], "training") != "training"]
    if held_out:
        logger.warning(
            "%d scans without label left out: their patients are in validation or test, as %s",
            *(len(held_out), held_out[0]["image"]),
        )
    others = [record for record in others if section_of.get(record["patient"], "training") == "training"]
    if others:
        sections[UNLABELED] = others
    return sections


def _with_validation(given: dict[str, str], how: Sections, strata: Mapping[str, int] | None) -> dict[str, str]:
    """The given sections; where no patient is in validation, some of training are, as training needs one."""
    if "validation" in given.values() or how.splits[1] == 0:
        return given
    training = [one for one, section in given.items() if section == "training"]
    counts = Counter(strata[one] if strata else 0 for one in training)
    if not training or min(counts.values()) < 2:
        logger.warning("no folder gives a validation section, and training has too few patients to take some for it")
        return given
    both = sum(how.splits[:2])
    drawn = split_patients(training, (how.splits[0] / both, how.splits[1] / both, 0), how.seed, strata)
    taken = sum(section == "validation" for section in drawn.values())
    logger.warning(
        "no folder gives a validation section: %d of %d training patients taken for it", taken, len(training)
    )
    return {**given, **drawn}


def _rarest_class(records: Sequence[dict]) -> dict[str, int]:
    counts = Counter(record["class"] for record in records)
    rarest: dict[str, int] = {}
    for record in records:
        patient, own = record["patient"], record["class"]
        rarest[patient] = min(rarest.get(patient, own), own, key=lambda one: (counts[one], one))
    return rarest
