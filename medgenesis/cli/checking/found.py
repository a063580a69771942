"""What was found of a list: its records read, and what only all of them together show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.cli.checking.settings import Settings
from medgenesis.data.crops import RandAcceptedCropd
from medgenesis.data.datalists import read_datalist, with_channels
from medgenesis.data.intensity import ScaleIntensityPresetd, preset_options
from medgenesis.data.label_names import label_names
from medgenesis.data.labels import MergeLabelsd, parse_label_merge
from medgenesis.data.nnunet import nnunet_preprocessing
from medgenesis.data.pipeline import preprocessing
from medgenesis.data.segment_names import Disagreement, find_disagreement, names_in_map
from medgenesis.data.splits import ALL_SECTIONS, SECTIONS, UNLABELED
from medgenesis.data.survey import Surveyed, survey_records
from medgenesis.report import display_range, flat_image, three_planes

_LONGEST = 96  # pixels of a drawing's longest side


@dataclass
class Found:
    """A list and what was found of it.

    Args:
        path: the list.
        header: what it says beside its records.
        settings: what was checked.
        places: of each record its section and its number there, from 1.
        records: of all sections.
        surveyed: what was found of each.
        segments: label map -> label -> name, of the files that name what they hold (3D Slicer).
    """

    path: Path
    header: Mapping[str, Any]
    settings: Settings
    places: list[tuple[str, int]]
    records: list[dict]
    surveyed: list[Surveyed] = field(default_factory=list)
    segments: dict[str, dict[int, str]] = field(default_factory=dict)

    @property
    def sections(self) -> list[str]:
        return list(dict.fromkeys(section for section, _ in self.places))

    def name(self, i: int) -> str:
        """A record by section and number, which names nobody."""
        return " ".join(map(str, self.places[i]))

    def of(self, section: str) -> list[int]:
        """The places of a section's records."""
        return [i for i, (one, _) in enumerate(self.places) if one == section]

    def usable(self) -> list[int]:
        return [i for i, one in enumerate(self.surveyed) if one.error is None]

    def duplicates(self) -> list[list[int]]:
        """Records whose images have the same voxels."""
        same: dict[str, list[int]] = {}
        for i, one in enumerate(self.surveyed):
            if one.content:
                same.setdefault(one.content, []).append(i)
        return [places for places in same.values() if len(places) > 1]

    def across(self, places: Sequence[int]) -> bool:
        """Whether records are of more than one section, where `unlabeled` is a part of training."""
        sections = {self.places[i][0] for i in places}
        return len(sections) > 1 and sections != {SECTIONS[0], UNLABELED}

    def patients(self, section: str) -> set[str]:
        return {str(self.records[i]["patient"]) for i in self.of(section) if "patient" in self.records[i]}

    def shared_patients(self) -> list[tuple[str, str, list[int]]]:
        """Two sections, and the records of the patients that are in both."""
        found = []
        for first, second in combinations(self.sections, 2):
            if {first, second} == {SECTIONS[0], UNLABELED}:
                continue
            both = self.patients(first) & self.patients(second)
            places = [i for i in (*self.of(first), *self.of(second)) if str(self.records[i].get("patient")) in both]
            if both:
                found.append((first, second, places))
        return found

    def without_foreground(self) -> list[int]:
        """Records with a label map that holds nothing but background as it is learnt from."""
        kept = self.targets()
        maps = [(i, one.labels) for i, one in enumerate(self.surveyed) if one.error is None and one.labels is not None]
        return [i for i, labels in maps if not any(self.target(value, kept) for value in labels)]

    def segment_names(self, label: int) -> list[str]:
        """What files call a stored label."""
        return list(dict.fromkeys(names[label] for names in self.segments.values() if label in names))

    def disagreement(self) -> Disagreement | None:
        """Of the names of segments."""
        return find_disagreement(self.segments, self.targets())

    def targets(self) -> dict[int, int] | None:
        """Stored label -> the class that it becomes; None where labels are learnt as they are."""
        if not self.settings.label_merge:
            return None
        merge = parse_label_merge(self.settings.label_merge)
        return {source: target for target, sources in merge.items() for source in sources}

    def class_names(self, merged: bool = True) -> dict[int, str]:
        """Names of the classes, or of the stored labels, as far as the list names them."""
        merge = self.settings.label_merge if merged else None
        return label_names(self.header.get("labels"), parse_label_merge(merge) if merge else None)

    @staticmethod
    def target(value: int, kept: Mapping[int, int] | None) -> int:
        """The class of a stored label; 0 is background."""
        return value if kept is None else kept.get(value, 0)

    @property
    def all_right(self) -> bool:
        """Whether every record can be used, no scan or patient is in two sections, and segments agree."""
        if any(map(self.across, self.duplicates())) or self.shared_patients() or self.disagreement():
            return False
        return len(self.usable()) == len(self.records)


def find(path: str | Path, settings: Settings, *, drawn: int = 24, num_workers: int = 0) -> Found:
    """Read a list and all that it names.

    Args:
        path: the list.
        settings: what to check.
        drawn: records of each section to draw, evenly spread.
        num_workers: processes that read.

    Raises:
        DatalistError: the list cannot be read, or is empty.
        ValueError: settings that are none.
    """
    from medgenesis.errors import DatalistError

    datalist = with_channels(read_datalist(path))
    listed = {section: datalist[section] for section in ALL_SECTIONS if section in datalist}
    places = [(section, number + 1) for section, records in listed.items() for number in range(len(records))]
    if not places:
        raise DatalistError(f"{path}: must name scans; found every section empty. Make it by `medgenesis datalist`.")
    header = {key: value for key, value in datalist.items() if key not in ALL_SECTIONS}
    found = Found(Path(path), header, settings, places, [one for records in listed.values() for one in records])
    chosen = [found.of(section) for section in found.sections]
    chosen = [
        few[i]
        for few in chosen
        for i in np.unique(np.linspace(0, len(few) - 1, min(drawn, len(few))).round().astype(int))
    ]
    crop = None
    if settings.cube_size is not None:
        crop = RandAcceptedCropd("image", settings.cube_size, criterion=settings.crop_criterion, pad=True)
    lenient = {"label_keys": "label", "allow_missing_keys": True}
    if settings.plan is None:
        load = preprocessing(intensity=None, spacing_mm=settings.spacing_mm, **lenient)
        scale = ScaleIntensityPresetd("image", **preset_options(settings.intensity or "ct"))
    else:
        load, scale = nnunet_preprocessing(settings.plan, **lenient), None  # which normalises
    readings = survey_records(
        found.records,
        load,
        scale,
        draw=partial(_draw, merge=settings.label_merge),
        drawn=chosen,
        crop=crop,
        num_workers=num_workers,
    )
    found.surveyed += readings if settings.plan is None else [_as_planned(one, settings.plan) for one in readings]
    for i in found.usable():
        label, labels = found.records[i].get("label"), found.surveyed[i].labels
        if isinstance(label, str) and labels and (names := names_in_map(label, labels)):
            found.segments[label] = names
    return found


def _as_planned(one: Surveyed, plan: Mapping[str, Any]) -> Surveyed:
    """With the spacing of the plan: whole numbers of voxels leave that of a resampled image a little off it."""
    return one._replace(spacing_mm=tuple(map(float, plan["spacing"]))) if one.spacing_mm else one


def _draw(item: dict[str, Any], merge: Mapping[int | str, Any] | None) -> np.ndarray:
    if merge:
        item = MergeLabelsd("label", merge, allow_missing_keys=True)(item)
    image, label = item["image"], item.get("label")
    volume, map_ = display_range(np.asarray(image[0])), None if label is None else np.asarray(label[0])
    if volume.ndim == 2:
        return flat_image(volume, map_, longest=2 * _LONGEST)
    spacing = [float(mm) for mm in image.pixdim]
    return three_planes(volume, map_, spacing_mm=spacing, longest=_LONGEST, positions=True)
