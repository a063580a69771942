"""The Dice of a bundle's network that was fine-tuned on some labelled records for so many steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Events
from monai.bundle import ConfigParser, ConfigWorkflow

from medgenesis.handlers import SegmentationCases
from medgenesis.stopping import end_if_asked
from medgenesis.transfer.protocols.last_weights import check_all_used, prepare_training


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
        iterations: optimizer steps; None: the epochs of the configs.
        overrides: further settings of the configs, by id.

    Returns:
        Dice of each test record and class (records, classes without background), measured on the images' own grid;
        NaN where a class is absent.

    Raises:
        ValueError: a plateau or patience, which would follow the test records.
        VolumeError: a record that cannot be used.
    """
    settings = {"steps": iterations, **(overrides or {})}
    workflow = own_grid_workflow(configs, training, test, folder, init=init, seed=seed, overrides=settings)
    check_all_used(workflow, training, test)
    end_if_asked()
    workflow.run()
    end_if_asked()
    return answered_dice(workflow, folder, "Fine-tuning")


def own_grid_workflow(configs: Sequence[str | Path], *args: Any, **settings: Any) -> ConfigWorkflow:
    """An initialised workflow of `prepare_training` that measures on the images' own grid."""
    workflow = prepare_training(configs, *args, **settings)
    _measure_on_own_grid(workflow.parser)
    answer_empty_ones_too(workflow.parser)
    workflow.initialize()
    return workflow


def answered_dice(workflow: ConfigWorkflow, folder: str | Path, title: str) -> np.ndarray:
    """Dice (records, classes) of what the workflow's evaluator answers; its cases are drawn and listed in `folder`."""
    evaluator = workflow.evaluator
    labels = workflow.parser.get_parsed_content("labels") if "labels" in workflow.parser.get() else None
    SegmentationCases(folder, title, getattr(labels, "names", None)).attach(evaluator)
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, end_if_asked)
    evaluator.run()
    return evaluator.state.metric_details["val_mean_dice"].cpu().numpy()


def answer_empty_ones_too(parser: ConfigParser) -> None:
    """Records without any of the classes are answered, and have no Dice: they are no error of a list."""
    labels = parser.get("labels")
    if isinstance(labels, dict) and labels.get("_target_") == "medgenesis.data.choose_labels":
        parser["labels"] = {**labels, "may_be_empty": ["validation"]}


def _measure_on_own_grid(parser: ConfigParser) -> None:
    """As `evaluate.yaml`: label maps as they were drawn, and the answers brought to their grid."""
    own = parser["validate"]["preprocessing"]
    own = parser["preprocessing"] if own == "@preprocessing" else own
    parser["validate"]["preprocessing"] = {**own, "resample_labels": False}
    grid = {"_target_": "medgenesis.inference.OnOwnGridd", "keys": ["pred", "image"]}
    grid["transform"] = "@validate#preprocessing"
    steps = [grid, parser["validate"]["postprocessing"]]
    parser["validate"]["postprocessing"] = {"_target_": "medgenesis.data.Preprocessing", "transforms": steps}
