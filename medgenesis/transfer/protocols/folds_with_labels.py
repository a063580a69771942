"""A look at the label maps of all folds before the first is trained, so that no hours are spent in vain."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.data import ChosenLabels, choose_labels
from medgenesis.errors import DatalistError
from medgenesis.transfer.protocols.last_weights import prepare_look

logger = logging.getLogger(__name__)


def have_foreground(
    configs: Sequence[str | Path], records: Sequence[dict], folder: str | Path, overrides: Mapping[str, Any]
) -> list[bool]:
    """Whether the label map of each record has any of the classes that are learnt.

    Args:
        configs: the bundle's `finetune.yaml`, and overlays. Where their `labels` are not those of `choose_labels`,
            every stored label but 0 counts as a class.
        records: labelled.
        folder: remembers which labels the maps have.
        overrides: further settings of the configs, by id.
    """
    parser = prepare_look(configs, records, (), folder, overrides).parser
    labels = parser.get_parsed_content("labels") if "labels" in parser.get() else None
    if not isinstance(labels, ChosenLabels):
        labels = choose_labels({"training": records}, {}, cache_dir=parser.get("cache_dir"))
    return [bool(classes) for classes in labels.of(records)]


def check_folds(parts: Sequence[int], foreground: Sequence[bool], folds: int) -> None:
    """Refuse folds of which one would learn from label maps without foreground; warn of those that judge nothing.

    Args:
        parts: the fold of each record.
        foreground: whether its label map has any of the classes.
        folds: their number.

    Raises:
        DatalistError: the records of all other folds have none.
    """
    held_out = [[i for i, part in enumerate(parts) if part == fold] for fold in range(folds)]
    judging = [[i for i in own if foreground[i]] for own in held_out]
    for fold, own in enumerate(judging):
        if len(own) == sum(foreground):
            raise DatalistError(
                "folds: the label maps that each fold learns from must have foreground; found none in the "
                f"{len(parts) - len(held_out[fold])} of fold {fold}, as all that have some are held out in it (records "
                f"{_numbers(own)} of training and validation). Use another --seed or fewer --folds, or label scans of "
                "more patients that have the classes."
            )
    for fold, own in enumerate(held_out):
        if not judging[fold]:
            logger.warning(
                "fold %d: none of its %d label maps has any of the classes (records %s of training and validation): it "
                "is trained and answers, and has no Dice; with fewer --folds each would be judged",
                *(fold, len(own), _numbers(own)),
            )


def _numbers(places: Sequence[int]) -> str:
    return ", ".join(str(place + 1) for place in places)
