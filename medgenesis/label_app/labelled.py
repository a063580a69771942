"""The studies that are labelled, and which of them a training is judged on."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from medgenesis.errors import DOMAIN_ERRORS, cause_of
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


class Saved(NamedTuple):
    """A final label as a store has it."""

    name: str
    """Of the study."""
    state: tuple
    """Another one whenever the label is, or the image."""
    files: Callable[[], tuple[str, str, dict[str, Any]]]
    """Image, label, and what was said with the label: fetched when it is called."""


def labelled_studies(
    datastore: Any, classes: Mapping[str, int], folder: Path, prepare: Callable[[dict[str, str]], Any] | None = None
) -> tuple[list[Labelled], dict[str, str]]:
    """The studies whose final labels can be used, and why others cannot.

    Args:
        datastore: `StudyFolder` or `DicomWebStudies`.
        classes: name -> value of the labels.
        folder: receives the label maps with the values of the app.
        prepare: takes a record as a training does; one that it refuses, for its intensities for example, is left out.

    Returns:
        The studies in the order in which they were saved; name -> reason.
    """
    usable, left_out = [], {}
    for name, _, files in datastore.saved():
        try:
            image, label, info = files()
            values = check_label(image, label, classes, info.get("label_info"))
            one = Labelled(name, image, str(write_renumbered(label, folder / name, values)), int(info.get("ts", 0)))
            if prepare is not None:
                prepare(one.record)
        except (*DOMAIN_ERRORS, OSError, RuntimeError) as error:
            left_out[name] = str(cause_or_raise(error))
        else:
            usable.append(one)
    return sorted(usable, key=lambda one: (one.saved, one.name)), left_out


def cause_or_raise(error: Exception) -> BaseException:
    """Why a study cannot be used; an error that says nothing of a study is raised again.

    MONAI wraps the errors of transforms in RuntimeErrors.
    """
    cause = cause_of(error)
    if not isinstance(cause, (*DOMAIN_ERRORS, OSError)):
        raise error
    return cause


def state_of_labels(datastore: Any) -> tuple:
    """What changes whenever a label is saved, another study is labelled, or a file is replaced; nothing is read."""
    return tuple(sorted((one.name, one.state) for one in datastore.saved()))


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
