"""Whose a file is: the patient's key in its path, by a pattern or by the names that published data sets give."""

import re

from medgenesis.errors import DatalistError

_PATIENT_OF_NAME = re.compile(r"^(sub-[^_]+)_|^(.+?)_R_\d+$")  # BIDS; LIDC-IDRI-0001_R_1
_PATIENT_OF_XRAY = re.compile(r"(?:^|/)(\d{8})_\d{3}$")  # ChestX-ray14, whose folders are no patients


def patient_of(relative: str, pattern: str | None = None) -> str:
    """The patient's key in a file's path below the image folder, suffix taken off.

    With a pattern: its first group, or all that it matches. Without: what ChestX-ray14 begins its file names with
    (`00001280_004`); else the first folder where there is one; else the file name, less what the published names add to
    a patient (`LIDC-IDRI-0001_R_1`) or BIDS does (`sub-01_ses-2_T1w`).

    Raises:
        DatalistError: the pattern is malformed, or not found in the path.
    """
    if pattern is None:
        xray = _PATIENT_OF_XRAY.search(relative)
        if xray:
            return xray.group(1)
        folder, _, rest = relative.partition("/")
        if rest:
            return folder
        match = _PATIENT_OF_NAME.match(relative)
        return next(group for group in match.groups() if group) if match else relative
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
