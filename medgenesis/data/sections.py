"""Records to the sections of a list: labelled ones split by patient, the others left for pre-training."""

import logging
from collections import Counter
from collections.abc import Sequence
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
    """

    splits: Sequence[float]
    seed: int
    few: int | None
    labelled: bool
    by_class: bool


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
    section_of = split_patients((record["patient"] for record in known), how.splits, how.seed, strata)
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


def _rarest_class(records: Sequence[dict]) -> dict[str, int]:
    counts = Counter(record["class"] for record in records)
    rarest: dict[str, int] = {}
    for record in records:
        patient, own = record["patient"], record["class"]
        rarest[patient] = min(rarest.get(patient, own), own, key=lambda one: (counts[one], one))
    return rarest
