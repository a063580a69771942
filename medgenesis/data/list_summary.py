"""What is said of a list that was just made: records a section, by which key patients are told apart, doubts."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medgenesis.data.patient_doubts import doubtful, repeated_below, visit_folders
from medgenesis.data.patients import PatientKey, is_name
from medgenesis.data.splits import ALL_SECTIONS

logger = logging.getLogger(__name__)

_EXAMPLES = 3


def say_summary(datalist: Mapping[str, Any], key_of: Mapping[str, PatientKey]) -> None:
    """Log it; doubts are warnings.

    Args:
        datalist: as from `make_datalist`, with `patient_keys`.
        key_of: path of each scan below the images, suffix taken off -> its patient's key.
    """
    sections = {name: datalist[name] for name in ALL_SECTIONS if name in datalist}
    records = [record for found in sections.values() for record in found]
    kinds = datalist["patient_keys"]
    example: dict[str, str] = {}
    for record in records:
        first = record["image"] if isinstance(record["image"], str) else record["image"][0]
        example.setdefault(record["patient"], Path(first).name)
    counts = ", ".join(f"{len(found)} {name}" for name, found in sections.items())
    logger.info("%d records of %d patients: %s", len(records), len(example), counts)
    if names := datalist.get("class_names"):
        logger.info("classes: %s", ", ".join(f"{number} = {name}" for number, name in enumerate(names)))
    channels = {len(record["image"]) for record in records if isinstance(record["image"], list)}
    if channels:
        logger.info("channels joined to one record each: %s files", " or ".join(map(str, sorted(channels))))
    shown = ", ".join(f"{key} (of {name})" for key, name in sorted(example.items())[:_EXAMPLES])
    logger.info("patients by %s: %s", " and ".join(kinds), shown)
    if len(kinds) > 1:
        logger.warning(
            "patients are told apart in different ways (%s): one whose files are of two kinds counts twice",
            " and ".join(kinds),
        )
    if all(map(is_name, kinds)) and (doubts := doubtful(example)):
        logger.warning(
            "%d patients' names are hard to tell apart, as %s: each counts as another patient; if they are not, give a "
            "--patient-pattern",
            *(len(doubts), ", ".join(doubts[:_EXAMPLES])),
        )
    if doubts := doubtful(key.secret for key in key_of.values() if key.secret):
        where = sorted(path for path, key in key_of.items() if key.secret in doubts)
        logger.warning(
            "%d PatientIDs are hard to tell apart, as those of %s: each counts as another patient; if they are not, "
            "give a --patient-pattern",
            *(len(doubts), ", ".join(where[:_EXAMPLES])),
        )
    by_folder = {path: key.key for path, key in key_of.items() if key.kind == "folder name"}
    if below := repeated_below(by_folder):
        logger.warning(
            "%d folders are taken for patients, as %s, but the same patients' names stand below them: if they are "
            "visits or sites, give a --patient-pattern",
            *(len(below), ", ".join(below[:_EXAMPLES])),
        )
    by_convention = [path for path, key in key_of.items() if key.kind in ("folder name", "file name")]
    if visits := visit_folders(by_convention):
        logger.warning(
            "%d folders are taken for visits, as %s, and what is below them for patients: if they are patients, give a "
            "--patient-pattern",
            *(len(visits), ", ".join(visits[:_EXAMPLES])),
        )
    if len(example) == 1 and len(records) > 1:
        logger.warning("all %d records are of one patient: if not, give a --patient-pattern", len(records))
