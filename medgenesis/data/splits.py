"""Splits by patient: seeded, stable when patients are added, and checked for patients on both sides."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medgenesis.errors import DatalistError

SECTIONS = ("training", "validation", "test")
_SECTIONS_SEEN = ("training", "validation")  # what a pre-training has looked at


def split_patients(patients: Iterable[str], fractions: Sequence[float], seed: int = 0) -> dict[str, str]:
    """Section of each patient.

    Patients are ordered by a hash of (seed, key), then cut at the fractions, so that one more patient moves at most one
    other across each cut. Every section with a fraction above 0 receives a patient.

    Args:
        patients: keys, repeats allowed.
        fractions: of training, validation and test, 1 together.
        seed: of the order.

    Raises:
        DatalistError: fractions that are no split, or fewer patients than sections.
    """
    if len(fractions) != len(SECTIONS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6 or fractions[0] == 0:
        raise DatalistError(
            f"splits: must be 3 shares (training first, above 0) that add up to 1; found {fractions}. Give --splits "
            "0.8 0.1 0.1 for example."
        )
    order = sorted(set(patients), key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())
    wanted = sum(fraction > 0 for fraction in fractions)
    if len(order) < wanted:
        raise DatalistError(
            f"splits: each of the {wanted} sections needs a patient; found {len(order)} patient(s). Give --splits 1 0 "
            "0, or a --patient-pattern if more patients are among the files."
        )
    held_out = [max(1, round(fraction * len(order))) if fraction > 0 else 0 for fraction in fractions[1:]]
    while len(order) - sum(held_out) < 1:  # shares rounded up: training keeps a patient
        held_out[held_out.index(max(held_out))] -= 1
    counts = [len(order) - sum(held_out), *held_out]
    sections = [section for section, count in zip(SECTIONS, counts, strict=True) for _ in range(count)]
    return dict(zip(order, sections, strict=True))


def check_disjoint(datalist: Mapping, other: Mapping | None = None) -> None:
    """Refuse a patient (or a file) in two sections of a list, or in a pre-training and in another list's test section.

    Args:
        datalist: as from `read_datalist`; with `other` given, the list of the pre-training.
        other: the list whose test section must be unseen: nothing of it may be in `datalist`'s training or validation.

    Raises:
        DatalistError: how many there are, and the first of them.
    """
    for one in (datalist, other or {}):
        for i, first in enumerate(SECTIONS):
            for second in SECTIONS[i + 1 :]:
                _refuse_shared(_identities(one, [first]), _identities(one, [second]), f"{first} and {second}")
    if other is not None:
        seen, tested = _identities(datalist, _SECTIONS_SEEN), _identities(other, ["test"])
        _refuse_shared(seen, tested, "the pre-training and the test section of the other list")


def _identities(datalist: Mapping, sections: Iterable[str]) -> set[tuple]:
    found = set()
    for record in (record for section in sections for record in datalist.get(section, ())):
        images = record["image"] if isinstance(record["image"], list) else [record["image"]]
        found |= {("file", str(Path(image).resolve()), record.get("cube")) for image in images}
        if "patient" in record:
            found.add(("patient", str(record["patient"])))
    return found


def _refuse_shared(first: set[tuple], second: set[tuple], where: str) -> None:
    shared = sorted(identity[:2] for identity in first & second)
    if shared:
        patients = [name for kind, name in shared if kind == "patient"] or [name for _, name in shared]
        raise DatalistError(
            f"patients: each must be in one section; found {len(patients)} patient(s) in both {where}, the first "
            f"{', '.join(patients[:3])}. Take them out of one; if they only share a name, tell them apart by a "
            "--patient-pattern."
        )
