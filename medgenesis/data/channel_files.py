"""nnU-Net's names: files `CASE_0000`, `CASE_0001`, … are the channels of one scan."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from medgenesis.data.scan import Scan
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)

_NUMBERED = re.compile(r"(.+)_(\d{4})")
_MOST = 16  # more numbers than that count scans
_FOLDERS = re.compile(r"images(tr|ts|val)", re.IGNORECASE)


def join_channels(scans: Sequence[Scan], nnunet: bool = False, separate: bool = False) -> list[Scan]:
    """The scans, those of several channels joined, named without the channel.

    In each folder the numbers are channels where all cases have the same ones, from 0000; else they are a part of the
    names, as in `scan_0001` … `scan_0200`. A single case is taken so in folders that nnU-Net names (`imagesTr`).

    Args:
        scans: of one file each, or DICOM.
        nnunet: the names are nnU-Net's for certain, as a dataset.json says.
        separate: each channel stays a scan of its own (of the same patient).

    Raises:
        DatalistError: a case lacks a channel that others have.
    """
    by_folder: dict[str, list[Scan]] = defaultdict(list)
    for scan in scans:
        by_folder[str(scan.files[0].parent) if scan.is_file else ""].append(scan)
    return [scan for found in by_folder.values() for scan in _joined(found, nnunet, separate)]


def _joined(scans: list[Scan], nnunet: bool, separate: bool) -> list[Scan]:
    cases: dict[tuple[str, str], dict[int, Scan]] = defaultdict(dict)
    others = []
    for scan in scans:
        match = _NUMBERED.fullmatch(scan.name) if scan.is_file else None
        if match:
            cases[match.group(1), scan.suffix][int(match.group(2))] = scan
        else:
            others.append(scan)
    if not cases or not _are_channels(cases, nnunet, bool(_FOLDERS.fullmatch(scans[0].files[0].parent.name))):
        return list(scans)
    for (name, _), parts in cases.items():
        if len(parts) == 1 or separate:
            others += [scan._replace(name=name if len(parts) == 1 else scan.name, case=name) for scan in parts.values()]
        else:
            others.append(Scan(name, tuple(parts[channel].files[0] for channel in sorted(parts)), case=name))
    return others


def _are_channels(cases: dict[tuple[str, str], dict[int, Scan]], certain: bool, likely: bool) -> bool:
    every = set().union(*cases.values())
    first, full = next(iter(cases))[0], sum(set(parts) == every for parts in cases.values())
    if every != set(range(len(every))) or len(every) > _MOST:
        if certain:
            raise DatalistError(
                f"{first}: nnU-Net's channels must be numbered from _0000 without gaps; found {_numbers(every)}. "
                "Rename the files, or give --channels separate."
            )
        return False
    if full == len(cases):
        if full > 1 or len(every) == 1 or certain or likely:
            return True
        logger.warning(
            "%s_0000 … _%04d: taken as %d scans of as many patients; if they are channels of one, name their folder "
            "imagesTr",
            *(first, max(every), len(every)),
        )
        return False
    if certain or likely or 2 * full > len(cases):
        (name, _), parts = next((case, parts) for case, parts in cases.items() if set(parts) != every)
        raise DatalistError(
            f"{name}: must have the channels {_numbers(every)} as others do; found {_numbers(parts)}. Add the files, "
            "or give --channels separate."
        )
    return False


def _numbers(channels: Iterable[int]) -> str:
    named = [f"_{channel:04d}" for channel in sorted(channels)]
    return ", ".join(named if len(named) <= 8 else [*named[:4], "…", named[-1]])
