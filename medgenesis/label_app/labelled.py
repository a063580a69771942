"""The studies that are labelled, and which of them a training is judged on."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgenesis.errors import VolumeError
from medgenesis.label_app.labels import check_label, write_renumbered
from medgenesis.storage.atomic import write_text


@dataclass(frozen=True)
class Labelled:
    """A study with a label that can be used."""

    name: str
    image: str
    label: str
    """With the values of the app."""
    saved: int
    """When, in seconds."""

    @property
    def record(self) -> dict[str, str]:
        """As a datalist has it."""
        return {"image": self.image, "label": self.label}


def labelled_studies(datastore: Any, classes: Mapping[str, int], folder: Path) -> tuple[list[Labelled], dict[str, str]]:
    """The studies whose final labels can be used, and why others cannot.

    Args:
        datastore: `StudyFolder` or `DicomWebStudies`.
        classes: name -> value of the labels.
        folder: receives the label maps with the values of the app.

    Returns:
        The studies in the order in which they were saved; name -> reason.
    """
    usable, left_out = [], {}
    for name, image, label, info in datastore.saved():
        try:
            values = check_label(image, label, classes, info.get("label_info"))
            stored = write_renumbered(label, folder / name, values)
        except VolumeError as error:
            left_out[name] = str(error)
        else:
            usable.append(Labelled(name, image, str(stored), int(info.get("ts", 0))))
    return sorted(usable, key=lambda one: (one.saved, one.name)), left_out


def state_of_labels(datastore: Any) -> tuple:
    """What changes whenever a label is saved, another study is labelled, or a file is replaced; no image is read."""
    found = []
    for name, *files, info in datastore.saved():
        states = [Path(file).stat() if Path(file).is_file() else None for file in files]
        found.append((name, *((one.st_size, one.st_mtime_ns) if one else None for one in states), str(info)))
    return tuple(sorted(found))


def split_labelled(
    studies: Sequence[Labelled], share: float, memory: Path, known: Collection[str] = ()
) -> tuple[list[Labelled], list[Labelled]]:
    """Studies to train on, and to judge by: so many as the share of all, rounded down, so that none is lost of few.

    A study that was judged by before stays one, so that models can be compared; new ones are those saved last of which
    no earlier model has learnt: a label that was corrected is saved anew.

    Args:
        studies: in the order in which they were saved.
        share: of the studies, below 1.
        memory: file that remembers which were judged by.
        known: names of studies that an earlier model has learnt from.
    """
    try:
        before = set(json.loads(memory.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        before = set()
    number = int(len(studies) * share + 1e-9)
    order = sorted(studies, key=lambda one: (one.name not in before, one.name in known, -one.saved, one.name))
    chosen = {one.name for one in order[:number]}
    write_text(memory, json.dumps(sorted(before | chosen)))
    return [one for one in studies if one.name not in chosen], [one for one in studies if one.name in chosen]
