"""A look at a comparison before its first run: the classes, the answer without an image, and the network's maps."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medgenesis.data import preprocessing
from medgenesis.errors import DatalistError
from medgenesis.losses import hard_dice
from medgenesis.networks.voxel_probe import has_levels
from medgenesis.progress import track
from medgenesis.transfer.protocols.last_dice import answer_empty_ones_too
from medgenesis.transfer.protocols.last_weights import prepare_look
from medgenesis.transfer.protocols.place_answer import place_answer

logger = logging.getLogger(__name__)

SIDE = 64  # voxels a side at most, on which the answer without an image is made and judged


@dataclass(frozen=True)
class LabelSurvey:
    """What was found.

    Args:
        num_classes: of all drawn and test label maps, background included: that of every run.
        place_dice: draw -> Dice (records, classes) of `place_answer`; NaN where a class is absent.
        has_levels: whether it is known where the network has its maps, see
            `medgenesis.networks.voxel_probe.has_levels`; False where that was not asked.
        counted: of each test record, whether it has any of the classes; else it has no Dice.
    """

    num_classes: int
    place_dice: dict[Any, np.ndarray]
    has_levels: bool
    counted: Sequence[bool]


def survey_labels(
    configs: Sequence[str | Path],
    draws: Mapping[Any, Sequence[dict]],
    test: Sequence[dict],
    folder: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    frozen: bool = True,
) -> LabelSurvey:
    """Read the label maps that a comparison learns from and is judged on.

    Args:
        configs: the bundle's `finetune.yaml`, and overlays.
        draws: name -> labelled records.
        test: labelled records.
        folder: remembers which labels the maps have.
        overrides: further settings of the configs, by id.

    Raises:
        DatalistError: a draw, or all of the test section, without any voxel of a class.

    Notes:
        The answer without an image is made and judged on grids of at most 64 voxels a side (nearest voxels), so that
        large scans cost no more than small ones.
    """
    every = {_key(record): record for records in draws.values() for record in records}
    workflow = prepare_look(configs, [*every.values()], test, folder, overrides)
    answer_empty_ones_too(workflow.parser)
    parsed = workflow.parser.get_parsed_content
    number, labels, levels = parsed("num_classes"), parsed("labels"), frozen and has_levels(parsed("network_def"))
    read = preprocessing((), "label", intensity=None, label_merge=labels.merge, num_classes=number)
    maps, foreground = {}, {}
    for key, record in track(every.items(), "label maps that are learnt from"):
        whole = _label_map(read, record)
        maps[key], foreground[key] = _at_most(whole, SIDE), bool(whole.any())
    for name, records in draws.items():
        if not any(foreground[_key(record)] for record in records):
            raise DatalistError(
                f"training: the labelled patients of each draw must have some voxel of a class; found none in draw "
                f"{name}, of {len(records)} scans. Leave scans without foreground out of the list, or ask for more "
                "labelled patients."
            )
    if len({one.ndim for one in maps.values()}) > 1:
        logger.warning("images and volumes are mixed: the answer without an image is left out")
        unknown = {name: np.full((len(test), number - 1), np.nan) for name in draws}
        return LabelSurvey(number, unknown, levels, [bool(classes) for classes in labels.of(test)])
    sides = [max(one.shape[axis] for one in maps.values()) for axis in range(next(iter(maps.values())).ndim)]
    values = range(number)
    answers = {
        name: place_answer([maps[_key(record)] for record in records], sides, values) for name, records in draws.items()
    }
    dice: dict[Any, list[list[float]]] = {name: [] for name in draws}
    counted = []
    for record in track(test, "label maps of the test section"):
        whole = _label_map(read, record)
        truth = _at_most(whole, SIDE)
        counted.append(bool(whole.any()))
        for name, answer in answers.items():
            seen = _resampled(answer, truth.shape) if truth.ndim == answer.ndim else None
            dice[name].append([_dice(seen, truth, value) for value in values[1:]])
    if not any(counted):
        raise DatalistError(
            f"test: some label map must have a voxel of a class; found none in {len(test)}, so that nothing can be "
            "compared. Move labelled records there."
        )
    return LabelSurvey(number, {name: np.array(found) for name, found in dice.items()}, levels, counted)


def _key(record: Mapping[str, Any]) -> str:
    """Of a label map: of a stack each cube is one."""
    return f"{record['label']} {record.get('cube')}"


def _label_map(read: Any, record: Mapping[str, Any]) -> Tensor:
    """(X, Y) or (X, Y, Z)."""
    item = read({key: record[key] for key in ("label", "cube", "series") if key in record})
    return torch.as_tensor(item["label"])[0].as_subclass(Tensor).to(torch.int32)


def _at_most(label: Tensor, side: int) -> Tensor:
    return _resampled(label, [min(side, one) for one in label.shape])


def _resampled(label: Tensor, sides: Sequence[int]) -> Tensor:
    """The nearest voxel at each place of a grid of these sides over the same box."""
    return F.interpolate(label[None, None].float(), tuple(sides), mode="nearest-exact")[0, 0].to(label.dtype)


def _dice(answer: Tensor | None, truth: Tensor, value: int) -> float:
    """NaN where the truth has none, as of the runs."""
    known = truth == value
    dice = hard_dice(answer == value, known) if answer is not None and known.any() else None
    return float("nan") if dice is None else dice
