"""Splits by patient: seeded, stable when patients are added, by class; and checked for patients on both sides."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.patients import alike
from medgenesis.errors import DatalistError

SECTIONS = ("training", "validation", "test")
DEFAULT_SPLITS = (0.8, 0.1, 0.1)
UNLABELED = "unlabeled"
"""The section of scans without label beside labelled ones; pre-training learns from it as from `training`."""
ALL_SECTIONS = (*SECTIONS, UNLABELED)
SEEN = ("training", "validation", UNLABELED)
"""What a pre-training has looked at."""


def split_patients(
    patients: Iterable[str], fractions: Sequence[float], seed: int = 0, strata: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Section of each patient.

    Patients are ordered by a hash of (seed, key), then cut at the fractions, so that one more patient moves at most one
    other across each cut. Every section with a fraction above 0 receives a patient.

    Args:
        patients: keys, repeats allowed.
        fractions: of training, validation and test, 1 together.
        seed: of the order.
        strata: class of each patient; each class is then cut by itself, so that all sections have all classes.

    Raises:
        DatalistError: fractions that are no split, or fewer patients (of a class) than sections.
    """
    if len(fractions) != len(SECTIONS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6 or fractions[0] == 0:
        raise DatalistError(
            f"splits: must be 3 shares (training first, above 0) that add up to 1; found {fractions}. Give --splits "
            "0.8 0.1 0.1 for example."
        )
    order = in_drawn_order(patients, seed)
    if strata is None:
        return _cut(order, fractions, "")
    section_of: dict[str, str] = {}
    for stratum in sorted({strata[key] for key in order}):
        section_of |= _cut([key for key in order if strata[key] == stratum], fractions, f" of class {stratum}")
    return section_of


def in_drawn_order(patients: Iterable[str], seed: int) -> list[str]:
    """The patients in an order that the seed decides, and that stays when others come or go."""

    def drawn(key: str) -> bytes:
        return hashlib.sha256(f"{seed}:{key}".encode(errors="surrogateescape")).digest()

    return sorted(set(patients), key=drawn)


def draw_few(patients: Iterable[str], count: int, seed: int = 0, strata: Mapping[str, Any] | None = None) -> list[str]:
    """So many of the patients, drawn by the seed; more of them hold the fewer. Classes take turns.

    Raises:
        DatalistError: there are fewer, or fewer than classes are asked for.
    """
    order = in_drawn_order(patients, seed)
    classes = 1 if strata is None else len({strata[key] for key in order})
    if not classes <= count <= len(order):
        least = "1" if classes == 1 else f"{classes} (one a class)"
        raise DatalistError(
            f"few: must be from {least} to the labelled training patients; found {count} of {len(order)}. Give another "
            "number, or other --splits."
        )
    if strata is not None:
        turn: Counter = Counter()
        rank = {}
        for key in order:
            rank[key] = turn[strata[key]]
            turn[strata[key]] += 1
        order = sorted(order, key=rank.__getitem__)
    return order[:count]


def _cut(order: list[str], fractions: Sequence[float], of_what: str) -> dict[str, str]:
    wanted = sum(fraction > 0 for fraction in fractions)
    if len(order) < wanted:
        raise DatalistError(
            f"splits: each of the {wanted} sections needs a patient{of_what}; found {len(order)} patient(s). Give "
            "--splits 1 0 0, or a --patient-pattern if more patients are among the files."
        )
    held_out = [max(1, round(fraction * len(order))) if fraction > 0 else 0 for fraction in fractions[1:]]
    while len(order) - sum(held_out) < 1:  # shares rounded up: training keeps a patient
        held_out[held_out.index(max(held_out))] -= 1
    counts = [len(order) - sum(held_out), *held_out]
    sections = [section for section, count in zip(SECTIONS, counts, strict=True) for _ in range(count)]
    return dict(zip(order, sections, strict=True))


def check_disjoint(datalist: Mapping, other: Mapping | None = None, *, by_likeness: bool = False) -> None:
    """Refuse a patient (or a file) in two sections of a list, or in a pre-training and in another list's test section.

    Args:
        datalist: as from `read_datalist`; with `other` given, the list of the pre-training.
        other: the list whose test section must be unseen: nothing of it may be in `datalist`'s training or validation.
        by_likeness: sections of one list are compared as lists are, `P01` is `p1`: it is made of several.

    Raises:
        DatalistError: how many there are, and the first of them.
    """
    found = [_by_section(datalist), _by_section(other or {})]
    for one in found:
        for first, second in itertools.combinations((UNLABELED, *SECTIONS), 2):
            if (first, second) != (UNLABELED, "training"):  # they may share patients
                pair = [_compared(one[which]) if by_likeness else one[which] for which in (first, second)]
                _refuse_shared(*pair, f"{first} and {second}")
    seen, tested = set().union(*(found[0][section] for section in SEEN)), found[1]["test"]
    _refuse_shared(_compared(seen), _compared(tested), "the pre-training and the test section of the other list")


def _by_section(datalist: Mapping) -> dict[str, set[tuple]]:
    return {section: identities(datalist.get(section, ())) for section in ALL_SECTIONS}


def compared_identities(records: Iterable[Mapping]) -> set[tuple]:
    """What tells files and patients from others, patients as they are compared between lists: `P01` is `p1`."""
    return _compared(identities(records))


def identities(records: Iterable[Mapping]) -> set[tuple]:
    """What tells files and patients from others: ("file", path, row, series), ("patient", key)."""
    found = set()
    for record in records:
        images = record["image"] if isinstance(record["image"], list) else [record["image"]]
        part = record.get("cube"), record.get("series")
        found |= {("file", str(Path(image).resolve()), *part) for image in images}
        if "patient" in record:
            found.add(("patient", str(record["patient"])))
    return found


def _compared(found: set[tuple]) -> set[tuple]:
    return {(kind, alike(name) if kind == "patient" else name, *rest) for kind, name, *rest in found}


def _refuse_shared(first: set[tuple], second: set[tuple], where: str) -> None:
    shared = sorted(identity[:2] for identity in first & second)
    if shared:
        patients = [name for kind, name in shared if kind == "patient"] or [name for _, name in shared]
        raise DatalistError(
            f"patients: each must be in one section; found {len(patients)} patient(s) in both {where}, the first "
            f"{', '.join(patients[:3])}. Take them out of one; if they only share a name, tell them apart by a "
            "--patient-pattern."
        )
