"""The volumes that are mined: which they are, and how to get one by its number."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from medgenesis.data.cache import cached_volumes
from medgenesis.data.datalists import load_datalist, read_datalist
from medgenesis.data.pipeline import find_domain_error
from medgenesis.errors import DatalistError
from medgenesis.mining.patterns import MINED_SECTIONS
from medgenesis.mining.volumes import VolumeInfo

logger = logging.getLogger(__name__)


def records_to_mine(datalist: str | Path, on_error: str = "stop") -> list[dict[str, str]]:
    """The training and validation records of a datalist, as `mined_record` makes them.

    Args:
        datalist: the list; a validation section may be absent or empty.
        on_error: "stop" at absent files, or "skip" the records that name them, with a warning.

    Raises:
        DatalistError: as `load_datalist`; a record that cannot be mined.
    """
    present = read_datalist(datalist)
    sections = [section for section in MINED_SECTIONS if present.get(section) or section == "training"]
    return [
        mined_record({**record, "section": section})
        for section in sections
        for record in load_datalist(datalist, section, on_error)
    ]


def mined_record(record: Mapping[str, Any]) -> dict[str, str]:
    """What mining keeps of a record: `image`, `patient` (absent: the file itself) and `section` (absent: training).

    Records of the same file and section are then equal, so that all steps of mining share one disk cache.

    Raises:
        DatalistError: several files as channels, or a row of a stack.
    """
    image = record.get("image")
    if not isinstance(image, (str, Path)) or "cube" in record:
        raise DatalistError(
            f"the record {dict(record)} cannot be mined, which takes whole volumes of one file each: leave out rows of "
            "stacks (`cube`), and save channels in one file"
        )
    patient = str(record.get("patient", Path(image).as_posix()))
    return {"image": str(image), "patient": patient, "section": record.get("section", "training")}


class VolumeLoader:
    """Gives volume i of a list, prepared, as (C, X, Y, Z): the `load` of discovery and of what looks at its result.

    Args:
        volumes: as in `VolumeFeatures.volumes` or `PatternTable.volumes`.
        preprocessing: the one that their features were computed with.
        cache: "none", "disk" (memory-mapped; the cache of the features is used again) or "memory".
        cache_dir: folder of the disk cache.

    Raises:
        ValueError: an unknown `cache`, or a disk cache without folder.
        VolumeError: (on call) a file that cannot be used, or whose shape is no longer the listed one.
    """

    def __init__(
        self,
        volumes: Sequence[VolumeInfo],
        preprocessing: Callable,
        *,
        cache: str = "none",
        cache_dir: str | Path | None = None,
    ) -> None:
        self.volumes = list(volumes)
        self.prepared = cached_volumes([mined_record(vars(one)) for one in volumes], preprocessing, cache, cache_dir)

    def __call__(self, i: int) -> torch.Tensor:
        return self.volumes[i].check(self.prepared[i]["image"])


class ListedShapes:
    """A check of `VolumeCheck`: each volume still has the shape that is listed of it (VolumeError)."""

    def __init__(self, volumes: Sequence[VolumeInfo]) -> None:
        self.volumes = list(volumes)

    def __call__(self, i: int, item: Mapping[str, Any]) -> None:
        self.volumes[i].check(item["image"])


def skip(error: Exception, on_error: str) -> None:
    """Say by a warning that a volume is left out; or raise, unless `on_error` is "skip" and it is the volume's fault.

    An error holds the frames that it passed, and with them the volume: no name and no log record may keep it.
    """
    if on_error == "stop" or find_domain_error(error) is None:
        raise (find_domain_error(error) or error) from None
    logger.warning("skipped: %s", str(find_domain_error(error)))
