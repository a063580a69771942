"""Whose a file is: the patient's key in its path, by a pattern or by the conventions of published data sets."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from medgenesis.errors import DatalistError

_XRAY = re.compile(r"(?:^|/)(\d{8})_\d{3}$")  # ChestX-ray14, whose folders are no patients
_BIDS = re.compile(r"(?:^|/)(sub-[^_/]+)")
UID = re.compile(r"\d+(\.\d+){4,}")
_CONTRAST = r"t1|t1w|t1n|t1c|t1ce|t1gd|t1post|t2|t2w|t2f|flair|pd|pdw|adc|dwi|swi|bold|ct|cta|cbct|pet|mr|mri|us|4d"
_TIME = (
    r"(?:frame|t|tp|time|timepoint|ses|session|visit|week|month|day|year|phase|fu|followup|follow-up|bl|baseline)"
    r"[-_]?\d*|pre|post|pre-?rt|mid-?rt|post-?rt|insp|exp|inhale|exhale|ed|es|left|right"
)
_ADDED = re.compile(rf"(?<=.)[-_. ](?:{_CONTRAST}|{_TIME})$", re.IGNORECASE)  # behind the patient in a name
_VISIT = re.compile(  # likewise, but behind a number alone: `scan` of `scan_v2` would tell no patients apart
    r"(?<=\d)[-_. ](?:v\d{1,2}|(?:19|20)\d{2}([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01]))$", re.IGNORECASE
)
_PREFIX = re.compile(  # LIDC-IDRI-0001_R_1; BraTS-GLI-00000-001; TCGA-02-0003-01; OAS30001_MR_d0129
    r"^(?:(.+?)_R_\d+|(BraTS-[A-Za-z]+-\d{5})-\d{3}|(TCGA-[A-Za-z0-9]{2}-[A-Za-z0-9]{4})[-_.].*|(OAS\d+(?:_\d{4})?)_(?:MR|CT|PET).*)$"
)
_CONTAINER = re.compile(  # folders that are named by what they hold, not by a patient
    rf"(?:images?|labels?|scans?|volumes?|data|raw|rawdata|sourcedata|derivatives|train|training|val|valid|validation|"
    rf"test|testing|(?:images|labels)t[rs]|images_\d+|images?val|nii|nifti|dicom|dcm|png|{_CONTRAST}|{_TIME})",
    re.IGNORECASE,
)


class PatientKey(NamedTuple):
    """By what a patient is told from others."""

    key: str
    kind: str
    """What was taken: "file name", "folder name", "sub- of BIDS", "UID", "pattern …", "hash of PatientID", …"""


def patient_of(relative: str, pattern: str | None = None) -> str:
    """The key alone, see `patient_key`."""
    return patient_key(relative, pattern).key


def patient_key(relative: str, pattern: str | None = None) -> PatientKey:
    """The patient's key in a file's path below the image folder, suffix and channel (`_0000`) taken off.

    With a pattern: its first group, or all that it matches. Without: `sub-XX` of BIDS wherever it stands; what
    ChestX-ray14 begins its file names with (`00001280_004`); else the first folder that is not named by what it holds
    (`imagesTr`, `derivatives`, `ses-1`); else the file name. Of both what conventions add is taken off: time points
    (`_frame01`, `_t0`, `_ses-2`; behind a number `_v2`, `_20190531`), contrasts (`_flair`), the nodules of
    `LIDC-IDRI-0001_R_1`.

    Raises:
        DatalistError: the pattern is malformed, or not found in the path.
    """
    relative = unicodedata.normalize("NFC", relative)  # macOS writes an accent as a letter of its own
    if pattern is not None:
        return PatientKey(_by_pattern(relative, pattern), f"pattern {pattern}")
    if bids := _BIDS.search(relative):
        return PatientKey(bids.group(1), "sub- of BIDS")
    if xray := _XRAY.search(relative):
        return PatientKey(xray.group(1), "file name")
    *folders, name = relative.split("/")
    folder = next((folder for folder in folders if not _CONTAINER.fullmatch(folder)), None)
    part = name if folder is None else folder
    key = part if UID.fullmatch(part) else _without_additions(part)  # a UID may end as a date does
    if UID.fullmatch(key):
        return PatientKey(key, "UID")
    return PatientKey(key, "file name" if folder is None else "folder name")


def alike(key: str) -> str:
    """The key as it is compared between lists: `Liver_001` is `liver_1`."""
    key = unicodedata.normalize("NFC", key.casefold())
    return re.sub(r"\d+", lambda digits: digits.group().lstrip("0") or "0", key)


def is_name(kind: str) -> bool:
    """Whether keys of this kind are parts of names, which tell patients apart only as far as names do."""
    return kind in ("file name", "folder name", "sub- of BIDS") or kind.startswith("pattern ")


def form(key: str) -> str:
    """How a key is built: `liver_#` of `liver_12`; of keys without numbers "words"."""
    return re.sub(r"\d+", "#", key.casefold()) if re.search(r"\d", key) else "words"


def doubtful(keys: Iterable[str]) -> list[str]:
    """Keys that may be of one patient although they differ: `P1` and `p01`; `p1` and `p1_b`; `p1_first`, `p1_second`,
    `p2_first` …; `p1a`, `p1b`, `p2a` …; `p1_first`, `p1_second` among `p2`, `p3` …"""
    keys = sorted(set(keys))
    spelt: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        spelt[alike(key)].append(key)
    if twice := [members for members in spelt.values() if len(members) > 1]:
        return sum(twice, [])
    by_start: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        if match := re.fullmatch(r"(.*\d.*)[-_. ][^-_. ]{1,12}|(.*\d)[A-Za-z]", key):
            by_start[match.group(1) or match.group(2)].append(key)
    known = set(keys)
    extended = [one for start, members in by_start.items() if start in known for one in (start, *members)]
    if extended:
        return extended
    grouped = {start: members for start, members in by_start.items() if 2 <= len(members) <= 8}
    inside = {one for members in grouped.values() for one in members}
    if len(grouped) > 1 and 2 * len(inside) > len(keys):
        return sorted(inside)
    whole = {form(key) for key in keys if key not in inside}  # what precedes the suffix is a key like others
    return [one for start, members in grouped.items() if form(start) in whole for one in members]


def _without_additions(name: str) -> str:
    while match := _ADDED.search(name) or _VISIT.search(name):
        name = name[: match.start()]
    match = _PREFIX.match(name)
    return next(group for group in match.groups() if group) if match else name


def _by_pattern(relative: str, pattern: str) -> str:
    try:
        match = re.search(pattern, relative)
    except re.error as error:
        raise DatalistError(
            f"patient_pattern: must be a regular expression; found {pattern!r} ({error}). Correct it there."
        ) from error
    if match is None:
        raise DatalistError(
            f"patient_pattern: must be found in every name; found no {pattern!r} in {relative!r}. Widen it."
        )
    return match.group(1) if match.re.groups else match.group(0)
