"""The volumes that are mined: which they are, and what is kept of each when it is read."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from monai.data import Dataset

from medgenesis.data.datalists import load_datalist, read_datalist
from medgenesis.data.pipeline import find_domain_error
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining.geometry import VolumeInfo, volume_info
from medgenesis.mining.patterns import MINED_SECTIONS
from medgenesis.mining.resize import resize_whole, three_sides
from medgenesis.storage.fingerprints import record_fingerprint

logger = logging.getLogger(__name__)


def records_to_mine(datalist: str | Path, on_error: str = "stop") -> list[dict[str, str]]:
    """The training (with unlabeled) and validation records of a datalist, as `mined_record` makes them.

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
        for record in load_datalist(datalist, section, on_error, unlabeled=section == "training")
    ]


def mined_record(record: Mapping[str, Any]) -> dict[str, str]:
    """What mining keeps of a record: `image`, `patient` (absent: the file itself) and `section` (absent: training).

    Records of the same file and section are then equal, so that all steps of mining share one disk cache.

    Raises:
        DatalistError: several files as channels, a row of a stack, or one DICOM series of several in a folder.
    """
    image = record.get("image")
    if not isinstance(image, (str, Path)) or {"cube", "series"} & set(record):
        raise DatalistError(
            f"record: must name a whole volume of one file to be mined; found {dict(record)}. Leave out rows of stacks "
            "(`cube`), save channels in one file, and give each DICOM series its own folder."
        )
    patient = str(record.get("patient", Path(image).as_posix()))
    return {"image": str(image), "patient": patient, "section": record.get("section", "training")}


class IndexedVolume(NamedTuple):
    """What is kept of a volume: its geometry, the stamp of its file, and the small copy (C, X, Y, Z) in float32."""

    info: VolumeInfo
    stamp: str
    whole: torch.Tensor


class WholeVolumes:
    """Reads the volumes of a data set, each as mining keeps it.

    Args:
        dataset: MONAI data set of whole volumes, `image` (C, X, Y, Z) in [0, 1], of `records_to_mine` and a
            preprocessing.
        size: voxels (X, Y, Z) of the small copies, see `ResizeVolumed`.
        body_threshold: above it is body, see `body_box`; a volume that shows none has no box, and a warning.
        on_error: "stop" at the first volume that cannot be used, or "skip" it with a warning.
        places: of the data set's volumes, those that are read; None: all.

    Raises:
        ValueError: a setting out of its range.
        DatalistError: a record that cannot be mined.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: int | Sequence[int],
        body_threshold: float = 0.1,
        on_error: str = "stop",
        places: Sequence[int] | None = None,
    ) -> None:
        self.dataset, self.size, self.on_error = dataset, three_sides(size, "size"), on_error
        if on_error not in ("stop", "skip"):
            raise ValueError(f'on_error: must be "stop" or "skip"; found {on_error!r}. Choose one of them.')
        self.places = range(len(dataset.data)) if places is None else places
        self.records = [mined_record(dataset.data[place]) for place in self.places]
        self.settings = {"size": list(self.size), "body_threshold": body_threshold}

    @property
    def stamps(self) -> list[str]:
        """Of the files: a stamp changes when its file does."""
        return [_stamp(record) for record in self.records]

    def read(self, i: int) -> IndexedVolume | None:
        """Read volume i; None where it is skipped. It is gone when the next one is read: errors do not hold it."""
        record = self.records[i]
        try:
            stamp = _stamp(record)  # before reading: a file that changes meanwhile must not pass for the read one
            volume = self.dataset[self.places[i]]["image"]
            whole = resize_whole(volume, self.size)
            if not torch.isfinite(whole).all():
                raise VolumeError(
                    f"{record['image']}: voxels must be finite; found NaN or infinity. Leave the file out or mend it."
                )
            return IndexedVolume(volume_info(volume, record, self.settings["body_threshold"]), stamp, whole)
        except Exception as error:
            skip(error, self.on_error)
            return None


def skip(error: Exception, on_error: str) -> None:
    """Say by a warning that a volume is left out; or raise, unless `on_error` is "skip" and it is the volume's fault.

    An error holds the frames that it passed, and with them the volume: no name and no log record may keep it.
    """
    if on_error == "stop" or find_domain_error(error) is None:
        raise (find_domain_error(error) or error) from None
    logger.warning("skipped: %s", str(find_domain_error(error)))


def _stamp(record: Mapping[str, str]) -> str:
    return record_fingerprint({"image": record["image"]})
