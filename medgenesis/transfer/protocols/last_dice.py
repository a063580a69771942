"""The Dice of a bundle's network, fine-tuned on some labelled records for so many steps, and that of no network."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from medgenesis.handlers import SegmentationCases
from medgenesis.transfer.protocols.last_weights import check_all_used, prepare_training
from medgenesis.transfer.protocols.place_answer import place_answer


def dice_after_finetuning(
    configs: Sequence[str | Path],
    training: Sequence[dict],
    test: Sequence[dict],
    folder: str | Path,
    *,
    init: str,
    seed: int,
    iterations: int | None,
    overrides: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Fine-tune a bundle's network on some labelled records for a fixed number of steps, then segment others.

    Args:
        configs: the bundle's `finetune.yaml`, and overlays.
        training: labelled records; all of them, and no others, are learnt from: the last weights are used, for
            choosing the best would need more labels.
        test: labelled records to segment.
        folder: takes the place of the bundle's root in what the run writes.
        init: checkpoint, or "scratch".
        seed: of the head's weights, the order and the augmentation.
        iterations: optimizer steps at least, rounded up to whole epochs; None: the epochs of the configs.
        overrides: further settings of the configs, by id.

    Returns:
        Dice of each test record and class (records, classes without background), measured on the images' own grid;
        NaN where a class is absent.

    Raises:
        ValueError: a plateau or patience, which would follow the test records.
        VolumeError: a record that cannot be used.
    """
    settings = {"steps": iterations, **(overrides or {})}
    workflow = prepare_training(configs, training, test, folder, init=init, seed=seed, overrides=settings)
    _measure_on_own_grid(workflow.parser)
    workflow.initialize()
    check_all_used(workflow, training, test)
    workflow.run()
    evaluator = workflow.evaluator
    labels = workflow.parser.get_parsed_content("labels") if "labels" in workflow.parser.get() else None
    SegmentationCases(folder, "Fine-tuning", getattr(labels, "names", None)).attach(evaluator)
    evaluator.run()
    return evaluator.state.metric_details["val_mean_dice"].cpu().numpy()


def _measure_on_own_grid(parser: ConfigParser) -> None:
    """As `evaluate.yaml`: label maps as they were drawn, and the answers brought to their grid."""
    own = parser["validate"]["preprocessing"]
    own = parser["preprocessing"] if own == "@preprocessing" else own
    parser["validate"]["preprocessing"] = {**own, "resample_labels": False}
    grid = {"_target_": "medgenesis.inference.OnOwnGridd", "keys": ["pred", "image"]}
    grid["transform"] = "@validate#preprocessing"
    steps = [grid, parser["validate"]["postprocessing"]]
    parser["validate"]["postprocessing"] = {"_target_": "medgenesis.data.Preprocessing", "transforms": steps}


def dice_of_places(
    configs: Sequence[str | Path],
    labelled: Mapping[Any, Sequence[dict]],
    test: Sequence[dict],
    overrides: Mapping[str, Any] | None = None,
) -> dict[Any, np.ndarray]:
    """Dice of the answer that looks at no image (`place_answer`), on the images' own grid.

    Args:
        configs: as of `dice_after_finetuning`.
        labelled: name -> labelled records; an answer for each.
        test: labelled records to segment.
        overrides: further settings of the configs, by id.

    Returns:
        For each name (records, classes), as of `dice_after_finetuning`.
    """
    every = {str(record["label"]): record for records in labelled.values() for record in records}
    root = Path(configs[0]).absolute().parent.parent  # nothing is written
    settings = {**(overrides or {}), "bundle_root": str(root)}
    workflow = prepare_training(configs, [*every.values()], test, root, init="scratch", seed=0, overrides=settings)
    _measure_on_own_grid(workflow.parser)
    read = workflow.parser.get_parsed_content("validate#preprocessing")
    values = range(workflow.parser.get_parsed_content("num_classes"))
    maps = {name: _label_map(read(dict(record))) for name, record in every.items()}
    found: dict[Any, list[list[float]]] = {name: [] for name in labelled}
    for record in test:
        truth = _label_map(read(dict(record)))
        for name, records in labelled.items():
            answer = place_answer([maps[str(one["label"])] for one in records], truth.shape, values)
            found[name].append([*_dice_by_class(answer, truth, values[1:])])
    return {name: np.array(dice) for name, dice in found.items()}


def _label_map(item: Mapping[str, Any]) -> Tensor:
    """(X, Y) or (X, Y, Z)."""
    return torch.as_tensor(item["label"])[0].as_subclass(Tensor).to(torch.uint8)


def _dice_by_class(answer: Tensor, truth: Tensor, values: Sequence[int]) -> Iterator[float]:
    for value in values:
        one, other = answer == value, truth == value
        yield 2 * int((one & other).sum()) / int(one.sum() + other.sum()) if other.any() else float("nan")
