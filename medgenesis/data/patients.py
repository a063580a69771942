"""Whose a file is: the patient's key in its path, by a pattern or by the conventions of published data sets."""

import re
import unicodedata
from typing import NamedTuple

from medgenesis.errors import DatalistError

_XRAY = re.compile(r"(?:^|/)(\d{8})_\d{3}$")  # ChestX-ray14, whose folders are no patients
_BIDS = re.compile(r"(?:^|/)(sub-[^_/]+)")
UID = re.compile(r"\d+(\.\d+){4,}")
CONTRAST = r"t1|t1w|t1n|t1c|t1ce|t1gd|t1post|t2|t2w|t2f|flair|pd|pdw|adc|dwi|swi|bold|ct|cta|cbct|pet|mr|mri|us|4d"
TIME = (
    r"(?:frame|t|tp|time|timepoint|ses|session|visit|week|month|day|year|phase|fu|followup|follow-up|follow_up|bl|"
    r"baseline)[-_]?\d*|pre|post|pre-?rt|mid-?rt|post-?rt|insp|exp|inhale|exhale|ed|es|left|right"
)
HASH = r"(?<![A-Za-z0-9])(?=\d*[A-Fa-f])(?=[A-Fa-f]*\d)[0-9A-Fa-f]{8,}(?![A-Za-z0-9])"
CODE = r"(?<![A-Za-z0-9])(?:[A-Za-z]\d){3,}(?![A-Za-z0-9])"  # A0S9V9
_ADDED = re.compile(rf"(?<=.)[-_. ](?:{CONTRAST}|{TIME})$", re.IGNORECASE)  # behind the patient in a name
_MONTH, _DAY, _YEAR = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])", r"(?:19|20)\d{2}"
_DATE = (  # 20190531, 2019-05-31; 03-23-2003, of TCIA with a description behind it; 23.03.2003
    rf"{_YEAR}(?P<iso>[-_.]?){_MONTH}(?P=iso){_DAY}|{_MONTH}(?P<us>[-_.]){_DAY}(?P=us){_YEAR}(?:-[A-Za-z].*)?|"
    rf"{_DAY}(?P<eu>[-_.]){_MONTH}(?P=eu){_YEAR}"
)
_VISIT = re.compile(  # likewise, but behind a number or hash alone: `scan` of `scan_v2` would tell no patients apart
    rf"(?:(?<=\d)|(?<=[0-9A-Fa-f]{{8}}))[-_. ](?:v\d{{1,2}}|{_DATE})$", re.IGNORECASE
)
_PREFIX = re.compile(  # LIDC-IDRI-0001_R_1; BraTS-GLI-00000-001; TCGA-02-0003-01; OAS30001_MR_d0129; ADNI_002_S_0295_MR
    r"^(?:(.+?)_R_\d+|(BraTS-[A-Za-z]+-\d{5})-\d{3}|(TCGA-[A-Za-z0-9]{2}-[A-Za-z0-9]{4})[-_.].*|"
    r"(OAS\d+(?:_\d{4})?)_(?:MR|CT|PET).*|((?:ADNI_)?\d{3}_S_\d{4,5})[-_.].*)$"
)
_CONTAINER = re.compile(  # folders that are named by what they hold, not by a patient
    rf"(?:images?|labels?|scans?|volumes?|data|raw|rawdata|sourcedata|derivatives|train|training|val|valid|validation|"
    rf"test|testing|(?:images|labels)t[rs]|images_\d+|images?val|nii|nifti|dicom|dcm|png|{CONTRAST}|{TIME}|"
    rf"\d{{1,3}}[-_ ]?(?:months?|weeks?|years?|days?))",
    re.IGNORECASE,
)
VISIT_FOLDER = re.compile(r"[vm][-_]?\d{1,3}|\d{1,3}[-_ ]?(?:m|mo|y|yr|w|wk|d)", re.IGNORECASE)
"""V00, m06, 12m: visits where a patient's name stands below, else patients (volunteer V01)."""
_NO_PATIENT = re.compile(  # numbered all the same
    r"(?:slices?|img|im|images?|scans?|series|ser|se|seq|run|acq|echo|vol|volume|file|dcm|frame|view|"
    r"lesions?|nodules?|tumou?rs?|mass|polyp|cyst|roi|chest|thorax|abdomen|pelvis|head|ap|pa|lat|lateral|"
    rf"ax|axial|cor|coronal|sag|sagittal|{CONTRAST})"
    r"(?:[-_. ]?\d.*|[-_. ].*)",
    re.IGNORECASE,
)
_DATED = re.compile(rf".*[-_. ](?:{_DATE})")
_PSEUDONYM = re.compile(  # AB12CD, XK9P2; not P0012, 12AB, S012R3, LUNG1A, P112B, whose numbers are counted
    r"(?=.*[A-Z]\d)(?=.*\d[A-Z])(?!.*(?<!\d)0\d|[A-Z]{4}|[A-Z]+\d+[A-Z]$)[A-Z0-9]{5,}"
)
_VARIES = re.compile(rf"(?<=TCGA-)[A-Z0-9]{{2}}-[A-Z0-9]{{4}}|{HASH}|{CODE}|\d+")


class PatientKey(NamedTuple):
    """By what a patient is told from others."""

    key: str
    kind: str
    """What was taken: "file name", "folder name", "sub- of BIDS", "UID", "pattern …", "hash of PatientID", …"""
    secret: str = ""
    """What the key is a hash of, to look for doubts; never to be said or written."""


def patient_of(relative: str, pattern: str | None = None) -> str:
    """The key alone, see `patient_key`."""
    return patient_key(relative, pattern).key


def patient_key(relative: str, pattern: str | None = None) -> PatientKey:
    """The patient's key in a file's path below the image folder, suffix and channel (`_0000`) taken off.

    With a pattern: its first group, or all that it matches. Without: `sub-XX` of BIDS wherever it stands; what
    ChestX-ray14 begins its file names with (`00001280_004`); else the first folder that is not named by what it holds
    (`imagesTr`, `derivatives`, `ses-1`; `V00`, `m06` where a patient's name is below); else the file name. Of both what
    conventions add is taken off: time points (`_frame01`, `_t0`, `_ses-2`; behind a number or hash `_v2`, `_20190531`,
    `_03-23-2003`), contrasts (`_flair`), the nodules of `LIDC-IDRI-0001_R_1`.

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
    _, part, below = split_at_patient(relative)
    key = without_additions(part)
    if UID.fullmatch(key):
        return PatientKey(key, "UID")
    return PatientKey(key, "folder name" if below else "file name")


def split_at_patient(relative: str) -> tuple[list[str], str, list[str]]:
    """The folders above the part of a path that names the patient by the conventions, that part, and what is below."""
    parts = relative.split("/")
    last = len(parts) - 1
    own = [i for i in range(last) if not _CONTAINER.fullmatch(parts[i])] + [last]
    place = own[0]
    if place < last and VISIT_FOLDER.fullmatch(parts[place]):
        place = next((i for i in own[1:] if _names_patient_of_visit(parts[i])), place)
    return parts[:place], parts[place], parts[place + 1 :]


def names_patient(part: str) -> bool:
    """Whether a folder or file is called as patients are: `P001`, `9000000`; not `DESS`, `img001`, `003`."""
    key = without_additions(part)
    if any(kind.fullmatch(key) for kind in (_CONTAINER, VISIT_FOLDER, _NO_PATIENT)) or re.fullmatch(_DATE, key):
        return False
    return bool(re.fullmatch(r"[1-9]\d{3,}|(?=.*[A-Za-z])[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*(?<=\d\d)", key))


def _names_patient_of_visit(part: str) -> bool:
    """Likewise, but surely enough below `V01`, which may be a volunteer: not `DESS_01`, `AP_20190531`."""
    key = without_additions(part)
    return names_patient(part) and bool(re.search(r"\d{3}$", key)) and not _DATED.fullmatch(key)


def is_container(part: str) -> bool:
    """Whether a folder or file is named by what it holds, not by a patient."""
    return bool(_CONTAINER.fullmatch(part))


def alike(key: str) -> str:
    """The key as it is compared between lists: `Liver_001` is `liver_1`."""
    key = unicodedata.normalize("NFC", key.casefold())
    return re.sub(r"\d+", lambda digits: digits.group().lstrip("0") or "0", key)


def is_name(kind: str) -> bool:
    """Whether keys of this kind are parts of names, which tell patients apart only as far as names do."""
    return kind in ("file name", "folder name", "sub- of BIDS") or kind.startswith("pattern ")


def form(key: str) -> str:
    """How a key is built: `liver_#` of `liver_12`, hashes and codes a number each; of keys without numbers "words"; of
    those that mix capitals and digits (`AB12CD`) "pseudonym"."""
    built = _VARIES.sub("#", key).casefold() if re.search(r"\d", key) else "words"
    return "pseudonym" if built != "#" and _PSEUDONYM.fullmatch(key) else built


def without_additions(name: str) -> str:
    """The name of a patient without what conventions add behind it: visits, dates, contrasts."""
    if UID.fullmatch(name):  # which may end as a date does
        return name
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
