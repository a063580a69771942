"""Folders as the Medical Segmentation Decathlon and nnU-Net have them: `imagesTr`, `labelsTr`, `dataset.json`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from medgenesis.data.given_sections import Part
from medgenesis.data.json_files import read_json_object
from medgenesis.data.label_names import label_names
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)


class TaskFolder(NamedTuple):
    """What such a folder says."""

    images: Path
    labels: Path | None
    header: dict[str, Any]
    """Of a datalist: `name`, `modality` (channel -> name) and `labels` (label -> name)."""
    nnunet: bool
    """Whether file names end in the channel, `_0000`, for certain."""
    expected: int | None
    """Number of training images, where it is said."""
    others: tuple[Part, ...] = ()
    """`imagesTs` with `labelsTs`: the test section; `imagesVal` (`imagesVa`) likewise."""


def task_folder(folder: Path) -> TaskFolder | None:
    """The folder by its `dataset.json`, or of the one above `imagesTr`; None where there is no such file.

    Raises:
        DatalistError: the file cannot be read, or the images are not there.
    """
    root = folder.parent if folder.name == "imagesTr" else folder
    described = root / "dataset.json"
    if not described.is_file() or not (root / "imagesTr").is_dir():
        return None
    said = read_json_object(described)
    channels = said.get("channel_names", said.get("modality"))
    if isinstance(channels, list):
        channels = dict(enumerate(channels))
    header: dict[str, Any] = {"name": str(said.get("name") or root.resolve().name)}
    if isinstance(channels, Mapping):
        header["modality"] = {str(channel): str(name) for channel, name in channels.items()}
    header |= _labels(said.get("labels"), described)
    number = said.get("numTraining")
    labels = root / "labelsTr"
    return TaskFolder(
        images=root / "imagesTr",
        labels=labels if labels.is_dir() else None,
        header=header,
        nnunet="file_ending" in said or "channel_names" in said,
        expected=number if isinstance(number, int) else None,
        others=_others(root),
    )


def _others(root: Path) -> tuple[Part, ...]:
    parts = []
    for end, section in (("Ts", "test"), ("Val", "validation"), ("Va", "validation")):
        images, labels = root / f"images{end}", root / f"labels{end}"
        if images.is_dir() and any(images.iterdir()):
            if labels.is_dir() and any(labels.iterdir()):
                parts.append(Part(images, labels, section))
            else:
                logger.warning("%s: not listed, as there is no %s; make a list of its own", images, labels.name)
    return tuple(parts)


def check_task_folder(task: TaskFolder, found: int, channels: set[int]) -> None:
    """Compare what was found with what the folder's `dataset.json` says.

    Args:
        task: the folder.
        found: scans with a label map.
        channels: how many files the scans have.

    Raises:
        DatalistError: fewer files a scan than channels are named (where each is a file of its own).
    """
    said = len(task.header.get("modality", {}))
    if said and channels - {said} and (task.nnunet or channels != {1}):
        raise DatalistError(
            f"{task.images}: must hold {said} file(s) a scan, as dataset.json names the channels; found scans of "
            f"{', '.join(map(str, sorted(channels)))}. Add the files, or correct dataset.json."
        )
    if task.expected is not None and task.expected != found:
        logger.warning("%s: dataset.json says %d training scans, found %d", task.images.parent, task.expected, found)


def _labels(labels: Any, described: Path) -> dict[str, Any]:
    """Names of labels, without regions of several ones."""
    if not isinstance(labels, Mapping):
        return {}
    single = {
        key: value
        for key, value in labels.items()
        if isinstance(value, int) or (str(key).isdecimal() and isinstance(value, str))
    }
    for key in (key for key in labels if key not in single):
        logger.warning("%s: label %r is a group of labels, which is not taken over", described, key)
    names = label_names(single)
    return {"labels": {str(label): names[label] for label in sorted(names)}} if names else {}
