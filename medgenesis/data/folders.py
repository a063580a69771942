"""Datalists made from folders: images, label maps beside them, DICOM series, folders that name classes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medgenesis.data.channel_files import join_channels
from medgenesis.data.dicom_scans import WITHOUT_VISIT
from medgenesis.data.folder_classes import class_names, class_of, without_class
from medgenesis.data.given_sections import Part, nested_parts, say_given, section_folders, sections_of
from medgenesis.data.intensity import check_preset
from medgenesis.data.label_pairs import ends_as_label, is_named_as_label, pair_labels
from medgenesis.data.labels import parse_label_merge
from medgenesis.data.left_out import LeftOut
from medgenesis.data.list_summary import say_summary
from medgenesis.data.patients import PatientKey, patient_key
from medgenesis.data.scan import Scan
from medgenesis.data.scans import find_scans, same_names
from medgenesis.data.sections import Sections, in_sections
from medgenesis.data.splits import ALL_SECTIONS, DEFAULT_SPLITS, check_disjoint
from medgenesis.data.task_folder import TaskFolder, check_task_folder, task_folder
from medgenesis.errors import DatalistError
from medgenesis.io.readers import ArrayReader, array_shape
from medgenesis.io.suffixes import SUFFIXES

logger = logging.getLogger(__name__)

_MODALITY_OF = {"xray": "X-ray", "mri": "MR", "mri_percentile": "MR"}  # of an intensity preset


def make_datalist(
    images: str | Path,
    labels: str | Path | None = None,
    *,
    splits: Sequence[float] | None = None,
    seed: int = 0,
    few: int | None = None,
    classes: Sequence[str] | None = None,
    patient_pattern: str | None = None,
    label_merge: Mapping[int | str, Any] | None = None,
    label_names: Mapping[str, str] | None = None,
    modality: str | None = None,
    name: str | None = None,
    only: str = "*",
    channels: str = "join",
    intensity: str | None = None,
) -> dict[str, Any]:
    """A datalist of what lies in a folder, split by patient.

    Where some scans have labels, the others go to the section `unlabeled`, which pre-training reads after `training`;
    not those of patients in validation or test. What is left out is said by warnings, counted and named.

    Args:
        images: folder with scans at any depth; a folder of DICOM slices is one scan (or several series), a DICOM
            radiograph one each, a stack of cubes one record a row, `CASE_0000`, `CASE_0001` … of nnU-Net one of several
            channels. A folder of the Decathlon or nnU-Net (`imagesTr`, `labelsTr`, `dataset.json`) is known by that.
        labels: folder with label maps of the same path and name as the images (see `pair_labels`).
        splits: shares of the patients for training, validation and test; where there are labels, of those with labels.
            None takes the split that folders give (`train`, `val`, `test` right below `images`, each with its scans or
            with `images` and `labels`; `imagesTs` with `labelsTs`), where they name no validation a share of the
            training's patients for it; without such folders 0.8, 0.1, 0.1.
        seed: of the split.
        few: so many patients keep their labels in training; the other training scans become `unlabeled`.
        classes: folders whose names are the classes, in this order; empty takes the first folders below `images`. Each
            record gets `class`, and every class is split by itself.
        patient_pattern: regular expression that finds the patient in an image's path below `images`; None takes the
            conventions of `patient_key`, and for DICOM a hash of the PatientID, without the visit that it ends in.
        label_merge: target label -> source labels, `{1: "10-14"}`; noted in the list.
        label_names: label -> name; noted in the list.
        modality: noted in the list; None takes what a dataset.json says, else "X-ray" or "MR" where `intensity` is of
            these, else "CT".
        name: of the list; None takes that of a dataset.json, or the folder's.
        only: shell pattern of the names that are scans (`ct*.nii.gz`), where other files lie beside them.
        channels: "join", or "separate" where each channel shall be a scan of its own.
        intensity: preset that each record shall have of its own ("xray"), for a list that is joined with other kinds.

    Raises:
        ValueError: an unknown preset.
        DatalistError: empty folder, label maps without image, no label map at all, a patient in two sections.
        VolumeError: a NumPy array whose header cannot be read.
    """
    images = Path(images)
    if not images.is_dir():
        raise DatalistError(f"{images}: must be a folder; found none. Give the folder that holds the images.")
    if labels is not None and not Path(labels).is_dir():
        raise DatalistError(f"{labels}: must be a folder; found none. Give the folder that holds the label maps.")
    if channels not in ("join", "separate"):
        raise ValueError(f'channels: must be "join" or "separate"; found {channels!r}. Choose one of them.')
    if intensity is not None:
        check_preset(intensity)
    task = task_folder(images)
    parts = _parts(images, labels, task, splits is None)
    folders = [_Folder(part, task, only, channels == "separate", patient_pattern) for part in parts]
    for folder in folders:
        folder.read()
    if classes is not None:
        scans = [scan for folder in folders for scan in folder.scans]
        names = class_names(scans, classes, images, tuple(section_folders(images)))
        for folder in folders:
            folder.classes = names
    given = _given_sections(folders, splits)
    records = [record for folder in folders for scan in folder.scans for record in folder.records(scan)]
    said = {
        "name": images.resolve().name,
        "modality": {"0": _MODALITY_OF.get(str(intensity), "CT")},
        **(task.header if task else {}),
    }
    keys = {folder.named(scan): folder.patient(scan) for folder in folders for scan in folder.scans}
    kinds = {key.kind for key in keys.values()}
    if WITHOUT_VISIT in kinds:
        kinds -= {"hash of PatientID"}  # the same rule, which had nothing to take off
    datalist = {**said, **_given(label_merge, label_names, modality, name), "patient_keys": sorted(kinds)}
    datalist |= {"class_names": folders[0].classes} if folders[0].classes else {}
    labelled = any(part.labels for part in parts) or classes is not None
    how = Sections(splits or DEFAULT_SPLITS, seed, few, labelled, classes is not None, given)
    datalist |= in_sections(records, how)
    if intensity is not None:
        for record in (record for section in ALL_SECTIONS for record in datalist.get(section, ())):
            record["intensity"] = intensity
    check_disjoint(datalist)
    say_summary(datalist, keys)
    return datalist


def _parts(images: Path, labels: str | Path | None, task: TaskFolder | None, as_given: bool) -> list[Part]:
    """Where the images and label maps are looked for."""
    if task is not None:
        given = [part for part in task.others if as_given and labels is None]
        first = Part(task.images, task.labels if labels is None else Path(labels), "training" if given else None)
        for part in task.others if not given else ():
            logger.warning("%s: not listed, as --splits or --labels is given", part.images)
        return [first, *given]
    nested = nested_parts(images) if labels is None else []
    if nested and not as_given:
        raise DatalistError(
            f"{images}: a split must be drawn within one folder of images, as --splits says; found sections with "
            "images and labels of their own. Leave out --splits to keep the split of the folders."
        )
    return nested or [Part(images, None if labels is None else Path(labels), None)]


def _given_sections(folders: Sequence["_Folder"], splits: Sequence[float] | None) -> dict[str, str] | None:
    """Section of each patient as the folders give it; None where they give none, or another split is asked for.

    Raises:
        DatalistError: a patient in two of them.
    """
    found: dict[str, list[dict]] = {}
    of_folder: dict[Path, str] = {}
    for folder in folders:
        own = folder.part.section
        by_scan = dict.fromkeys(folder.scans, own) if own else sections_of(folder.scans, folder.images, splits is None)
        for scan, section in by_scan.items():
            found.setdefault(str(section), []).extend(folder.records(scan))
            of_folder[folder.images if own else folder.images / scan.name.split("/")[0]] = str(section)
    if splits is not None or not found:
        if found:
            logger.warning(
                "the split of the folders is not kept, as --splits is given: %s", ", ".join(map(str, of_folder))
            )
        return None
    check_disjoint(found)
    say_given(of_folder)
    return {record["patient"]: section for section, records in found.items() for record in records}


@dataclass
class _Folder:
    part: Part
    task: TaskFolder | None
    only: str
    separate: bool
    pattern: str | None
    scans: list[Scan] = field(default_factory=list)
    label_of: dict[Scan, str | list[str]] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)

    @property
    def images(self) -> Path:
        return self.part.images

    @property
    def labels(self) -> Path | None:
        return self.part.labels

    def read(self) -> None:
        left_out = LeftOut(self.images)
        self.scans = self._joined(find_scans(self.images, left_out, self.labels, self.only))
        left_out.say()
        if not self.scans:
            named = "" if self.only == "*" else f" named {self.only!r}"
            why = "".join(f"; {line}" for line in left_out.lines())
            raise DatalistError(
                f"{self.images}: must hold {', '.join(SUFFIXES)} files or DICOM series; found no scan{named} in "
                f"it{why}. Give the folder of the images."
            )
        for name, found in same_names(self.scans).items():
            logger.warning("%s: %d scans of this name, each a record of one patient", name, len(found))
        if self.labels is not None:
            self._read_labels()
        # who gives label maps has named the rest
        looks_so = is_named_as_label if self.labels is None else ends_as_label
        masks = [scan.name for scan in self.scans if looks_so(scan.name)]
        if masks and len(masks) < len(self.scans):
            logger.warning("%d named as label maps are listed as scans, as %s: choose by --only", len(masks), masks[0])
        if (
            self.task and self.images == self.task.images and not self.separate
        ):  # a scan has one file then, whatever dataset.json says
            check_task_folder(
                self.task, len(self.label_of) or len(self.scans), {len(scan.files) for scan in self.scans}
            )

    def records(self, scan: Scan) -> list[dict]:
        record = {"image": scan.image, "patient": self.patient(scan).key}
        if scan.series is not None:
            record["series"] = scan.series
        if scan in self.label_of:
            record["label"] = self.label_of[scan]
        if self.classes:
            record["class"] = class_of(scan, self.classes, self.images)
        return rows_of(record)

    def patient(self, scan: Scan) -> PatientKey:
        by_name = scan.patient is None or self.pattern is not None
        return patient_key(self.named(scan), self.pattern) if by_name else scan.patient

    def named(self, scan: Scan) -> str:
        """The path that tells the patient."""
        return without_class(self.part.prefix + (scan.case or scan.name), self.classes)

    def _read_labels(self) -> None:
        left_out = LeftOut(self.labels)
        found = find_scans(self.labels, left_out)
        left_out.say()
        if not self._are_cases_of_nnunet(found):
            found = self._joined(found)
        self.label_of = pair_labels(self.scans, found, self.images, self.labels)

    def _are_cases_of_nnunet(self, labels: list[Scan]) -> bool:
        """Whether numbers in these names are the cases' (`amos_0001`): label maps of nnU-Net have no channel."""
        if self.task is None or not self.task.nnunet or all(label.name.endswith("_0000") for label in labels):
            return False
        return self.labels in (self.task.labels, *(part.labels for part in self.task.others))

    def _joined(self, scans: list[Scan]) -> list[Scan]:
        return join_channels(scans, self.task is not None and self.task.nnunet, self.separate)


def _given(label_merge, label_names, modality, name) -> dict[str, Any]:
    """What the caller says of the list."""
    given: dict[str, Any] = {"name": name} if name else {}
    if modality is not None:
        given["modality"] = {"0": modality}
    if label_names:
        given["labels"] = {"0": "background", **{str(int(key)): value for key, value in label_names.items()}}
    if label_merge:
        merge = parse_label_merge(label_merge)
        given["label_merge"] = {str(target): sources for target, sources in merge.items()}
    return given


def rows_of(record: dict) -> list[dict]:
    """The record itself, or one for each row where its image is a stack of cubes.

    Raises:
        VolumeError: a NumPy array whose header cannot be read.
    """
    image = record["image"]
    if not isinstance(image, str) or not image.lower().endswith(ArrayReader.suffixes):
        return [record]
    shape = array_shape(image)
    return [record] if len(shape) < 4 else [{**record, "cube": row} for row in range(shape[0])]
