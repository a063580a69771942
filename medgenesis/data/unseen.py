"""Whether the test patients of one list are in another, and whether that can be told at all."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medgenesis.data.patients import UID, form, is_name
from medgenesis.data.splits import ALL_SECTIONS, SEEN, check_disjoint
from medgenesis.errors import DatalistError

_NONE = "no patient"


def check_unseen(pretraining: Mapping[str, Any], tested: Mapping[str, Any], names: Sequence[str]) -> str:
    """Refuse test patients of one list that are in the pre-training's, and lists of which that cannot be told.

    Args:
        pretraining: the list of the pre-training, as from `read_datalist`.
        tested: the list whose test section must be unseen.
        names: of the two, for messages.

    Returns:
        By which keys they were compared, with an example of each list.

    Raises:
        DatalistError: shared patients or files; no test section; keys of another kind, or of a form that no seen
            one has.
    """
    check_disjoint(pretraining, tested)
    if not tested.get("test"):
        raise DatalistError(
            f"{names[1]}: must have a test section to be checked; found none, or an empty one. Make the list with "
            "another --splits."
        )
    seen, test = _keys(pretraining, SEEN), _keys(tested, ["test"])
    kinds = [key_kinds(pretraining, SEEN), key_kinds(tested, ["test"])]
    shown = [
        f"{name}: {' and '.join(sorted(kind)) or _NONE}{', such as ' + ', '.join(sorted(keys)[:2]) if keys else ''}"
        for name, kind, keys in zip(names, kinds, (seen, test), strict=True)
    ]
    remedy = (
        "Make both lists from files of one kind, or by --patient-pattern; else compare the patients yourself, by a "
        "table of who is who."
    )
    groups = {"names" if is_name(kind) else kind for kind in set.union(*kinds)}
    if len(groups) != 1 or _NONE in groups:
        raise DatalistError(
            "check: the patients of both lists must be named alike; cannot be told: the keys of the two lists are of "
            f"different kinds; found ({'; '.join(shown)}). {remedy}"
        )
    known = set(map(form, seen))
    strange = sorted(key for key in test if form(key) not in known)
    if groups == {"names"} and strange:
        raise DatalistError(
            "check: the patients of both lists must be named alike; cannot be told: the names are of different forms, "
            f"{len(strange)} of {len(test)} test patients have none that the other list has, as "
            f"{', '.join(strange[:3])}; found ({'; '.join(shown)}). {remedy}"
        )
    return "; ".join(shown)


def key_kinds(datalist: Mapping[str, Any], sections: Iterable[str] = ALL_SECTIONS) -> set[str]:
    """The kinds of patients' keys in a list: as its header says (`patient_keys`), else guessed from the keys.

    Records without `patient` count as a kind of their own, "no patient".
    """
    sections = list(sections)
    records = [record for section in sections for record in datalist.get(section, ())]
    lacking = {_NONE} if any("patient" not in record for record in records) else set()
    said = datalist.get("patient_keys")
    if isinstance(said, list) and said:
        return {str(kind) for kind in said} | lacking
    return {_guessed(key) for key in _keys(datalist, sections)} | lacking


def _keys(datalist: Mapping[str, Any], sections: Iterable[str]) -> set[str]:
    return {
        str(record["patient"]) for section in sections for record in datalist.get(section, ()) if "patient" in record
    }


def _guessed(key: str) -> str:
    if re.fullmatch(r"[0-9a-f]{12}", key):
        return "hash of PatientID"
    return "UID" if UID.fullmatch(key) else "file name"
