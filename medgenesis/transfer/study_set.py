"""A labelled data set of the transfer study: records with a class, whose each is, and in which section it stands."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.data.folds import patient_of
from medgenesis.data.splits import SECTIONS, check_disjoint, split_patients
from medgenesis.errors import DatalistError
from medgenesis.storage.fingerprints import fingerprint, record_fingerprint
from medgenesis.transfer.named_data import check_once, named_datalist

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StudySet:
    """Records, each with `class`, `section` and, where known, `patient`.

    Args:
        name: in tables and files.
        records: as `load_datalist` gives them, with `section`.
        class_names: of the classes 0, 1, …
        split: "list" (the sections of the list), or how it was drawn here.
        options: of the data set that were given.
    """

    name: str
    records: tuple[Mapping[str, Any], ...]
    class_names: tuple[str, ...]
    split: str = "list"
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def labels(self) -> np.ndarray:
        """The class of each record, int64 (N,); -1 where it is not known."""
        return np.array([record.get("class", -1) for record in self.records], np.int64)

    @cached_property
    def patients(self) -> np.ndarray:
        """A number a patient, (N,): no names."""
        return np.unique([patient_of(record) for record in self.records], return_inverse=True)[1]

    @cached_property
    def sections(self) -> np.ndarray:
        """The section of each record, (N,)."""
        return np.array([record["section"] for record in self.records])

    @cached_property
    def fingerprint(self) -> str:
        """Of all records, and of the size and time of change of their files."""
        return fingerprint([record_fingerprint(record) for record in self.records])

    def told(self) -> dict[str, Any]:
        """What the results say of it."""
        counts = Counter(zip(self.sections.tolist(), self.labels.tolist(), strict=True))
        return {
            "dataset": self.name,
            "images": len(self.records),
            "patients": int(self.patients.max()) + 1,
            "classes": list(self.class_names),
            "split": self.split,
            **({"options": dict(self.options)} if self.options else {}),
            "images by section and class": {
                section: [counts[section, c] for c in range(len(self.class_names))]
                for section in SECTIONS
                if (self.sections == section).any()
            },
            "dataset (fingerprint)": self.fingerprint,
        }


def open_study_set(
    named: str,
    folder: str | Path,
    *,
    labelled: bool = True,
    splits: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    reference: bool = False,
    options: Mapping[str, Any] | None = None,
) -> StudySet:
    """The data set that a command names.

    Args:
        named: a datalist (`LIST.json`), a MedMNIST file (`FILE.npz`), a folder whose folders name the classes, a data
            set of the registry (`NAME=DIR`), or one below the folder `MEDGENESIS_DATA` (`NAME`).
        folder: where the images of a MedMNIST file are unpacked to.
        labelled: every record must have a class; those without are left out, with a warning.
        splits: shares of the patients for training, validation and test, drawn where the list has no test section.
        seed: of that draw.
        reference: the study's own split, of a data set that has one: by image, with patients on both sides.
        options: of a data set of the registry, see `options_of`: `{"finding": "Edema"}` of CheXpert.

    Raises:
        ValueError: an option that the data set does not take.
        DatalistError: no such data set, none of its records has a class, or one class alone; what reading it raises.
    """
    name, datalist = named_datalist(named, Path(folder), reference, options)
    check_once(datalist, named)
    records = [
        {**record, "section": section} for section in (*SECTIONS, "unlabeled") for record in datalist.get(section, ())
    ]
    if labelled:
        records = _with_class(records, named)
    if not records:
        raise DatalistError(f"{named}: must have images; found none. Look at what the folder or the list holds.")
    split = "reference (by image)" if reference else "list"
    if not reference:
        check_disjoint(datalist)
    if labelled and not any(record["section"] == "test" for record in records):
        strata = {patient_of(record): record["class"] for record in records[::-1]}
        _check_enough(strata, splits, named, datalist.get("class_names"))
        sections = split_patients(strata, splits, seed, strata)
        records = [{**record, "section": sections[patient_of(record)]} for record in records]
        split = f"patient, shares {list(splits)}, seed {seed}"
        counts = Counter(record["section"] for record in records)
        logger.info("%s: split by patient: %s", named, ", ".join(f"{counts[one]} {one}" for one in SECTIONS))
    classes = sorted({record["class"] for record in records}) if labelled else []
    names = datalist.get("class_names") or [str(index) for index in range(max(classes, default=-1) + 1)]
    if labelled and (len(classes) < 2 or classes[-1] >= len(names)):
        raise DatalistError(
            f"{named}: must have two classes or more, of the names {list(names)}; found {classes}. Correct the list."
        )
    for index in range(len(names)) if labelled else ():
        for section in {record["section"] for record in records}:
            if not any(record["class"] == index and record["section"] == section for record in records):
                logger.warning("%s: no image of class %r in %s", name, names[index], section)
        tested = [one for one in records if one["class"] == index and one["section"] == "test"]
        if len({patient_of(one) for one in tested}) == 1:
            logger.warning(
                "%s: one test patient of class %r: of linear, knn and finetune balanced accuracy has no interval, and "
                "paired tests of it and of AUC have no p. Add patients of it, or list more of them under test",
                name,
                names[index],
            )
    return StudySet(name, tuple(records), tuple(map(str, names)), split, dict(options or {}))


def _check_enough(strata: Mapping[str, int], splits: Sequence[float], named: str, names: Sequence[str] | None) -> None:
    """Refuse a class with fewer patients than sections that are to be drawn."""
    least = sum(share > 0 for share in splits)
    for label, count in sorted(Counter(strata.values()).items()):
        if count < least:
            called = names[label] if names and label < len(names) else label
            raise DatalistError(
                f"{named}: every class must have {least} patients, one a section; found {count} of class {called!r}. "
                "Add images, or take the class out."
            )


def _with_class(records: list[dict], named: str) -> list[dict]:
    known = [record for record in records if "class" in record]
    if not known:
        found = "findings (`classes`), several a record" if any("classes" in one for one in records) else "none"
        raise DatalistError(
            f"{named}: its records must have a `class`; found {found}. Make a list with one class an image: "
            "`medgenesis datalist --images DIR --classes`."
        )
    if len(known) < len(records):
        logger.warning(
            "%s: %d of %d images have no class and are left out", named, len(records) - len(known), len(records)
        )
    odd = [one["class"] for one in known if type(one["class"]) is not int or one["class"] < 0]
    if odd:
        raise DatalistError(f"{named}: a class must be a whole number from 0; found {odd[0]!r}. Correct the record.")
    return known
