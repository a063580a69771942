"""Doubts of patients' keys: several may be of one patient, or folders taken for patients are visits or sites."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from medgenesis.data.patients import (
    CODE,
    CONTRAST,
    HASH,
    TIME,
    VISIT_FOLDER,
    alike,
    is_container,
    names_patient,
    split_at_patient,
)

_MOST = 8  # keys with one start; more are a collection's
_COLLECTION = (  # numbers that are no patient's, if others follow
    r"(?:(?:sites?|cent(?:er|re)|hospital|cohort|vendor|batch|subset|fold|group|part|task|dataset)[-_ ]?\d+|brats\d+)"
    rf"(?=[-_. ].*\d)|(?<![A-Za-z0-9])(?:{CONTRAST}|[1357](?:\.5)?T)(?![A-Za-z0-9])"
)
_PUBLISHED = (  # names of several numbers: ADNI, CPTAC, OASIS, NSCLC Radiogenomics; many of TCIA (TCGA-02-0003)
    r"\d{3}_S_\d{4,5}|C3[LN]-\d{5}|OAS\d_\d{4}|R01-\d{3}(?!\d)|"
    r"(?-i:[A-Z][A-Za-z]{2,}[A-Za-z0-9]*(?:-[A-Za-z0-9]+)*-[A-Z0-9]{2}-[A-Z0-9]{4}(?![A-Za-z0-9]))"
)
_NUMBER = re.compile(rf"(?P<common>{_COLLECTION})|{_PUBLISHED}|{HASH}|{CODE}|\d+", re.IGNORECASE)
_LEADING_VISIT = re.compile(rf"({VISIT_FOLDER.pattern}|{TIME})[-_. ](.*\d.*)", re.IGNORECASE)


def doubtful(keys: Iterable[str]) -> list[str]:
    """Keys that may be of one patient: `P1` and `p01`; `p1` and `p1_left_kidney`; those that have the start in common,
    up to the first number (or hash) that is not the whole collection's; `m00_p1`, `m12_p1` of several patients."""
    keys = sorted(set(keys))
    spelt: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        spelt[alike(key)].append(key)
    if twice := [members for members in spelt.values() if len(members) > 1]:
        return sum(twice, [])
    return _of_one_start(keys, 0, frozenset(keys)) or _behind_visits(keys)


def repeated_below(names: Mapping[str, str]) -> list[str]:
    """Keys below whose folders the same patients' names stand: visits (`V00/9000000`) or sites taken for patients.

    Args:
        names: path below the images -> key, of those whose key is a folder's name.
    """
    keys_of: dict[str, set[str]] = defaultdict(set)
    for path, key in names.items():
        below = next((part for part in split_at_patient(path)[2] if not is_container(part)), "")
        if names_patient(below) or (VISIT_FOLDER.fullmatch(key) and re.search(r"\d", below)):
            keys_of[below].add(key)
    several = {key for name, keys in keys_of.items() if len(keys) > 1 and names_patient(name) for key in keys}
    return _shared(keys_of) or sorted(filter(VISIT_FOLDER.fullmatch, several))  # of visits some patients may miss most


def visit_folders(paths: Iterable[str]) -> list[str]:
    """Folders `V01`, `m06` … that are taken for visits of the patients below, which they may be themselves.

    Args:
        paths: below the images, of those whose key is no pattern's.
    """
    folders = {folder for path in paths for folder in split_at_patient(path)[0]}
    return sorted(filter(VISIT_FOLDER.fullmatch, folders))


def _of_one_start(keys: list[str], level: int, known: frozenset[str]) -> list[str]:
    by_start: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        ends = _ends(key)
        by_start[key[: ends[level]] if level < len(ends) else key].append(key)
    found = []
    for start, members in by_start.items():
        if len(members) == 1:
            continue
        if start in known or (len(by_start) > 1 and len(members) <= _MOST):
            found += members
        else:
            found += _of_one_start(members, level + 1, known)
    return found


def _ends(key: str) -> list[int]:
    """Where the patient's name may end: behind each number, and before the last word."""
    ends = [match.end() for match in _NUMBER.finditer(key) if match["common"] is None]
    last = max(key.rfind(sign) for sign in "-_. ")
    return [*ends, last] if ends and last > ends[-1] else ends


def _behind_visits(keys: list[str]) -> list[str]:
    visits_of: dict[str, set[str]] = defaultdict(set)
    for match in filter(None, map(_LEADING_VISIT.fullmatch, keys)):
        visits_of[match[2]].add(match[1])
    shared = set(_shared(visits_of))
    return [key for key in keys if (match := _LEADING_VISIT.fullmatch(key)) and match[1] in shared]


def _shared(owners_of: Mapping[str, set[str]]) -> list[str]:
    """The owners, where most names have several, and there are as many names as owners."""
    repeated = [owners for owners in owners_of.values() if len(owners) > 1]
    owners = set().union(*owners_of.values())
    return sorted(owners) if 2 * len(repeated) > len(owners_of) >= len(owners) else []
