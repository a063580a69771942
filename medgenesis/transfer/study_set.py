"""A labelled data set of the transfer study: records with a class, whose each is, and in which section it stands."""

import inspect
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.data.datalists import load_datalist, read_datalist
from medgenesis.data.folders import make_datalist
from medgenesis.data.folds import patient_of
from medgenesis.data.splits import SECTIONS, check_disjoint, split_patients
from medgenesis.datasets import DATASETS, get_dataset
from medgenesis.datasets.medmnist import unpack_medmnist
from medgenesis.datasets.shared_folder import data_folder
from medgenesis.errors import DatalistError
from medgenesis.storage.fingerprints import fingerprint, record_fingerprint

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StudySet:
    """Records, each with `class`, `section` and, where known, `patient`.

    Args:
        name: in tables and files.
        records: as `load_datalist` gives them, with `section`.
        class_names: of the classes 0, 1, …
        split: "list" (the sections of the list), or how it was drawn here.
    """

    name: str
    records: tuple[Mapping[str, Any], ...]
    class_names: tuple[str, ...]
    split: str = "list"

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

    Raises:
        DatalistError: no such data set, none of its records has a class, or one class alone; what reading it raises.
    """
    name, datalist = _datalist(named, Path(folder), reference)
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
        sections = split_patients(strata, splits, seed, strata)
        records = [{**record, "section": sections[patient_of(record)]} for record in records]
        split = f"patient, shares {list(splits)}, seed {seed}"
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
    return StudySet(name, tuple(records), tuple(map(str, names)), split)


def _datalist(named: str, folder: Path, reference: bool) -> tuple[str, Mapping[str, Any]]:
    known, equals, root = named.partition("=")
    path = Path(named)
    if known in DATASETS and (equals or not path.exists()):
        dataset = get_dataset(known)
        where = Path(root) if equals else data_folder() / known
        if not where.is_dir():
            raise DatalistError(
                f"{known}: must lie in a folder; found none at {where.absolute()}. Write {known}=DIR, or set "
                "MEDGENESIS_DATA to the folder that holds it."
            )
        if reference and "split" not in inspect.signature(dataset.datalist).parameters:
            raise DatalistError(f"{known}: must have the study's own split; found none. Leave --reference-split out.")
        return known, dataset(where, split="reference") if reference else dataset(where)
    if reference:
        raise DatalistError(f"{named}: must be a data set of the study; found another. Leave --reference-split out.")
    shared = data_folder() / named
    if not path.exists() and shared.is_dir():  # a folder with a MedMNIST file
        path = min(shared.glob("*.npz"), key=lambda one: one.stat().st_size, default=path)
    medmnist = path.suffix.lower() == ".npz"
    if medmnist:
        path = unpack_medmnist(path, folder / "unpacked" / path.stem)
    if path.suffix.lower() == ".json":
        datalist = read_datalist(path)
        sections = {one: load_datalist(path, one) for one in (*SECTIONS, "unlabeled") if one in datalist}
        if medmnist:
            sections = {one: _rows_apart(records, one) for one, records in sections.items()}
        return str(datalist.get("name") or path.stem), {**datalist, **sections}
    if path.is_dir():
        return path.resolve().name, make_datalist(path, classes=())
    raise DatalistError(
        f"dataset: must be a list (.json), a MedMNIST file (.npz), a folder with a folder for each class, or one of "
        f"{', '.join(sorted(DATASETS))}, as NAME=DIR; found {named!r}. Check the path."
    )


def _rows_apart(records: Sequence[Mapping[str, Any]], section: str) -> list[dict]:
    """Of a MedMNIST file of volumes each row is a patient of its own, though all lie in one file."""
    return [{**one, "patient": f"{section} {one['cube']}"} if "cube" in one else dict(one) for one in records]


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
