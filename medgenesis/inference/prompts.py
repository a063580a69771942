"""Which labelled images of a list are the prompts of a segmentation without training."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.datalists import load_datalist
from medgenesis.data.records import files_of
from medgenesis.data.splits import identities
from medgenesis.errors import DatalistError, first_few

logger = logging.getLogger(__name__)

_SHOWN = 5  # files in a message


def choose_prompts(
    datalist: str | Path,
    section: str = "training",
    shots: int = 1,
    on_error: str = "stop",
    *,
    answered: Sequence[Mapping[str, Any]] = (),
) -> list[dict]:
    """The first labelled records of a section, by which others are segmented (`PromptedNetwork`).

    Warnings say where there are fewer than asked for, and which of the images to be segmented are prompts themselves,
    or other images of the prompts' patients.

    Args:
        datalist: the list.
        section: of the list.
        shots: how many records.
        on_error: "stop" at absent files, or "skip" the records that name them, with a warning.
        answered: records of the images to be segmented.

    Raises:
        ValueError: `shots` is no whole number from 1.
        DatalistError: as `load_datalist`; no record of the section has a label map.
    """
    if not isinstance(shots, int) or isinstance(shots, bool) or shots < 1:
        raise ValueError(f"shots: must be a whole number from 1; found {shots!r}. Give 1 or more.")
    records = load_datalist(datalist, section, on_error)
    labelled = [record for record in records if "label" in record]
    if not labelled:
        raise DatalistError(
            f"prompt_section: must name a section with label maps; found none at the {len(records)} records of "
            f"{section!r} in {datalist}. Name another section by `prompt_section`, or make the list with --labels."
        )
    if len(labelled) < shots:
        logger.warning(
            "shots: %d asked for, but section %r of %s has %d labelled record(s), which are the prompts",
            *(shots, section, datalist, len(labelled)),
        )
    prompts = labelled[:shots]
    _warn_of_answered(prompts, answered)
    return prompts


def _warn_of_answered(prompts: Sequence[dict], answered: Sequence[Mapping[str, Any]]) -> None:
    shown = identities(prompts)
    kinds = [{kind for kind, *_ in shown & identities([record])} for record in answered]
    themselves = [record for record, shared in zip(answered, kinds, strict=True) if "file" in shared]
    patients = [record for record, shared in zip(answered, kinds, strict=True) if shared == {"patient"}]
    files = [files_of(dict(record))[0] for record in (*themselves, *patients)]
    if files:
        logger.warning(
            "of %d images to be segmented %d are prompts themselves and %d are others of the prompts' patients: their "
            "label maps are not those of unseen patients (%s). Choose another `section` or `prompt_section`.",
            *(len(answered), len(themselves), len(patients), first_few(files, _SHOWN)),
        )
