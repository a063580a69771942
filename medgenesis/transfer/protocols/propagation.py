"""Label propagation: from a few labelled images, frozen dense features segment all others."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medgenesis.data.folds import patient_of
from medgenesis.data.pipeline import preprocessing
from medgenesis.data.splits import in_drawn_order
from medgenesis.errors import DatalistError, first_few
from medgenesis.io.colour import load_colour
from medgenesis.losses import hard_dice
from medgenesis.progress import track
from medgenesis.transfer.counts import check_counts
from medgenesis.transfer.dense.places import features_at, grid_of
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.geometry import Geometry, resized
from medgenesis.transfer.protocols.place_answer import place_answer
from medgenesis.transfer.protocols.place_classifier import METHODS, PlaceClassifier
from medgenesis.transfer.study_set import StudySet
from medgenesis.transforms.functional.slabs import take_slab

logger = logging.getLogger(__name__)

_CHUNK = 8192  # places at a time


@dataclass(frozen=True)
class Propagation:
    """Settings.

    Args:
        shots: labelled patients, of `training`.
        draws: of those patients; each is a run of its own over all cases.
        method: "nearest": the labels of the 5 most similar places; "linear": a logistic regression a place.
        stride: voxels of the encoder's input from an answered place to the next; between them probabilities are
            interpolated.
        samples: places of each labelled image that are learnt from.
        cases: of `test` at most; None: all.
        seed: of the draws.
    """

    shots: int = 1
    draws: int = 3
    method: str = "linear"
    stride: int = 2
    samples: int = 3000
    cases: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class CaseDice:
    """Dice of one label in one test case, beside that of the answer that looks at no image.

    Args:
        row: of the record.
        draw: number of the draw.
        label: value.
        dice: of the propagated labels.
        same_place: of the mean of the labelled patients' label maps, brought to the size of the image.
    """

    row: int
    draw: int
    label: int
    dice: float
    same_place: float


def propagate(encoder: Encoder, study_set: StudySet, settings: Propagation, *, intensity: Any = None) -> list[CaseDice]:
    """Segment the labelled cases of `test` by labelled patients of `training`.

    Each image is resized to the encoder's input (a volume seen by a 2D encoder slice by slice); of its places the
    features of all levels are taken. Dice is measured on the image's own grid.

    Args:
        encoder: that gives feature maps; "pixels" is its image.
        study_set: records with `label`.
        settings: of the run.
        intensity: see `ImageReading`.

    Raises:
        ValueError: an unknown method, settings below 1, an encoder without maps, or more shots than patients.
        DatalistError: no record with a label in training or test, or too few patients of training with a foreground.
    """
    _check(settings)
    if encoder.of_record is not None or encoder.told.get("control") == "handmade":
        raise ValueError(f"{encoder.name}: must give feature maps; found numbers of whole images. Leave it out.")
    encoder = as_seen(encoder, study_set, intensity)
    train, test = (_labelled(study_set, section) for section in ("training", "test"))
    owners: dict[str, list[int]] = {}
    for row in train:
        owners.setdefault(patient_of(study_set.records[row]), []).append(row)
    if settings.shots > len(owners):
        raise ValueError(
            f"shots: must be at most the labelled patients of training, {len(owners)}; found {settings.shots}. Give "
            "fewer."
        )
    read = _Reading(encoder, intensity)
    found, empty = [], set()
    for draw in range(settings.draws):
        order = in_drawn_order(owners, settings.seed * 1000 + draw)
        known = _drawn(encoder, study_set, read, {patient: owners[patient] for patient in order}, settings.shots, empty)
        labels = sorted({int(value) for parts in known for _, label in parts for value in label.unique()})
        classifier = _learnt(encoder, known, labels, settings, draw)
        for row in track(test[: settings.cases], f"cases, draw {draw + 1} of {settings.draws}"):
            parts = _parts(encoder, *read(study_set.records[row]))
            answer = [_answered(encoder, batch, label.shape, classifier, labels, settings) for batch, label in parts]
            truth = torch.stack([label for _, label in parts])
            place = _same_place(known, parts, labels)
            for value in sorted({*labels, *map(int, truth.unique().tolist())} - {0}):
                dice, trivial = (hard_dice(one == value, truth == value) for one in (torch.stack(answer), place))
                if dice is not None or trivial is not None:
                    found.append(
                        CaseDice(int(row), draw, value, *(1.0 if one is None else one for one in (dice, trivial)))
                    )
    return found


def as_seen(encoder: Encoder, study_set: StudySet, intensity: Any = None) -> Encoder:
    """The encoder with the size and geometry of this question: images (slices) are resized to its input, whatever it
    was opened with; "pixels" is given a size, and its map is the image.

    Args:
        encoder: see `propagate`.
        study_set: see `propagate`.
        intensity: see `ImageReading`.
    """
    if encoder.told.get("control") == "pixels":
        size = (64, 64) if _dims_of(encoder, study_set, intensity) == 2 else (48, 48, 48)
        encoder = replace(encoder, network=lambda batch: [batch], size=size)
    return replace(encoder, geometry=Geometry("squash"))


def _check(settings: Propagation) -> None:
    names = ("shots", "draws", "stride", "samples", "cases")
    check_counts(**{name: getattr(settings, name) for name in names})
    if settings.method not in METHODS:
        raise ValueError(f"method: must be one of {', '.join(METHODS)}; found {settings.method!r}. Choose one of them.")


def _labelled(study_set: StudySet, section: str) -> list[int]:
    rows = [i for i, one in enumerate(study_set.records) if one["section"] == section and "label" in one]
    if not rows:
        raise DatalistError(
            f"{study_set.name}: must have label maps in training and test; found none in {section}. Add `label` to its "
            "records."
        )
    return rows


class _Reading:
    """Image (C, *spatial) in [0, 1] and label map (*spatial) of a record; the label map keeps its own resolution, so
    that encoders with other spacings are judged alike.
    """

    def __init__(self, encoder: Encoder, intensity: Any) -> None:
        preset = encoder.intensity if intensity is None else intensity
        channels = encoder.channels if encoder.dims == 3 else None
        options = {"spacing_mm": encoder.spacing_mm, "in_channels": channels}
        self.steps = preprocessing(label_keys="label", intensity=preset or "unit", resample_labels=False, **options)

    def __call__(self, record: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        keys = ("image", "label", "cube", "series", "intensity")
        item = self.steps({key: record[key] for key in keys if key in record})
        image = load_colour(record["image"]) if record.get("colour") else item["image"]
        return torch.as_tensor(image).as_subclass(Tensor), item["label"][0].as_subclass(Tensor).long()


def _drawn(
    encoder: Encoder, study_set: StudySet, read: _Reading, owners: dict[str, list[int]], shots: int, empty: set[str]
) -> list:
    """The images of the first patients that have a foreground, in the order of the list.

    Args:
        encoder, study_set, read: of the run.
        owners: rows of each labelled patient, in the order of the draw.
        shots: how many patients.
        empty: those known to have none, over all draws; whoever is found to have none is added, and said once.
    """
    found: dict[int, list] = {}
    count = 0
    for patient, rows in owners.items():
        if count == shots or patient in empty:
            continue
        parts = {row: _parts(encoder, *read(study_set.records[row])) for row in rows}
        if any(label.any() for one in parts.values() for _, label in one):
            found, count = found | parts, count + 1
        else:
            empty.add(patient)
            logger.warning("labels: left out of the draws, without any foreground: %s", _files(study_set, rows))
    if count < shots:
        without = [row for patient in owners if patient in empty for row in owners[patient]]
        raise DatalistError(
            f"{study_set.name}: must have {shots} labelled patients of training with a foreground; found {count} of "
            f"{len(owners)}, none in {_files(study_set, without)}. Correct the label maps, or give fewer shots."
        )
    return [found[row] for row in sorted(found)]


def _files(study_set: StudySet, rows: list[int]) -> str:
    names = (study_set.records[row]["label"] for row in rows)
    return first_few([one[0] if isinstance(one, (list, tuple)) else one for one in names], 5)


def _parts(encoder: Encoder, image: Tensor, label: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What the encoder sees at once, (1, C, *size), and its label map: the whole image, or each slice of a volume."""
    if image.ndim == 3:  # rows first, as it is looked at
        image = (
            image.transpose(1, 2).expand(encoder.channels or -1, -1, -1) if len(image) == 1 else image.transpose(1, 2)
        )
        return [(resized(image[None].contiguous(), encoder.size), label.T)]
    if encoder.dims != 2:
        return [(resized(image[None], encoder.size), label)]
    channels, depth = encoder.channels or 1, label.shape[2]
    middles = [int((z + 0.5) * image.shape[3] / depth) - channels // 2 for z in range(depth)]
    slabs = (take_slab(image[0], 2, range(first, first + channels)) for first in middles)
    return [(resized(slab[None], encoder.size), label[..., z].T) for z, slab in enumerate(slabs)]


def _learnt(encoder: Encoder, known: list, labels: list[int], settings: Propagation, draw: int) -> PlaceClassifier:
    """A classifier of places, of some of each labelled image: at random, and at least a tenth a label."""
    generator = np.random.default_rng([settings.seed, draw])
    features, truth, weights = [], [], []
    parts = [part for image in known for part in image]
    each = max(20, settings.samples * len(known) // len(parts))
    for batch, label in parts:
        flat = label.flatten().numpy()
        rows = [generator.choice(len(flat), min(each, len(flat)), replace=False)]
        for value in np.unique(flat):
            own = np.flatnonzero(flat == value)
            rows.append(generator.choice(own, min(max(1, each // 10), len(own)), replace=False))
        chosen = np.unique(np.concatenate(rows))
        places = grid_of(label.shape)[chosen]
        features.append(features_at(encoder.levels(batch), places))
        truth.append(flat[chosen])
        share = np.bincount(flat, minlength=max(labels) + 1) / np.maximum(
            np.bincount(flat[chosen], minlength=max(labels) + 1), 1
        )
        weights.append(share[flat[chosen]])
    return PlaceClassifier(settings.method, torch.cat(features).numpy(), np.concatenate(truth), np.concatenate(weights))


def _answered(
    encoder: Encoder, batch: Tensor, sides, classifier: PlaceClassifier, labels: list[int], settings: Propagation
) -> Tensor:
    """The label map on a grid of these sides."""
    maps = encoder.levels(batch)
    places = grid_of(batch.shape[2:], settings.stride)
    shares = torch.cat([classifier(features_at(maps, some)) for some in places.split(_CHUNK)])
    grid = [max(1, -(-side // settings.stride)) for side in batch.shape[2:]]
    volume = shares.T.reshape(1, shares.shape[1], *grid).float()
    mode = "trilinear" if len(grid) == 3 else "bilinear"
    return torch.as_tensor(classifier.classes)[F.interpolate(volume, tuple(sides), mode=mode)[0].argmax(0)]


def _same_place(known: list, parts: list, labels: list[int]) -> Tensor:
    """The answer that looks at no image: of the labelled label maps, brought to this size, the commonest label."""
    whole = [
        torch.stack([label for _, label in image]) for image in known
    ]  # slices first; of a volume at once: it alone
    shape = parts[0][1].shape
    if len(shape) == 3:
        return place_answer([one[0] for one in whole], shape, labels)[None]
    return place_answer(whole, (len(parts), *shape), labels)


def _dims_of(encoder: Encoder, study_set: StudySet, intensity: Any) -> int:
    row = _labelled(study_set, "training")[0]
    return _Reading(encoder, intensity)(study_set.records[row])[1].ndim
