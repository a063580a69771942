"""A classifier trained on some records of a list, and its answers for others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.bundle import ConfigWorkflow

from medgenesis.inference import classify_volumes

_NEVER = 10**9  # epochs between validations: the last network answers


def predictions_after_classifying(
    configs: Sequence[str | Path],
    training: Sequence[dict],
    test: Sequence[dict],
    folder: str | Path,
    *,
    init: str,
    seed: int,
    overrides: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Train a bundle's classifier on some records, then classify others with its last weights.

    Args:
        configs: the bundle's `classify.yaml`, and overlays.
        training: records with their class or findings.
        test: likewise; none of them chooses a checkpoint.
        folder: takes the place of the bundle's root in what the run writes; receives `predictions.csv`.
        init: checkpoint, or "scratch".
        seed: of the head's weights, the order and the augmentation.
        overrides: further settings of the configs, by id.

    Returns:
        Probabilities (records, classes).
    """
    settings = {
        "bundle_root": str(Path(folder).absolute()),
        "init": init,
        "seed": seed,
        "val_interval": _NEVER,
        "train#dataset#data": tuple(training),  # tuples: what is in a list or mapping would be parsed, and run
        "validate#dataset#data": tuple(test),
        "run": ["$@train#trainer.run()"],
        **(overrides or {}),
    }
    workflow = ConfigWorkflow(
        config_file=[str(path) for path in configs], workflow_type="train", logging_file=False, **settings
    )
    workflow.initialize()
    workflow.run()
    parser = workflow.parser
    parts = (parser.get_parsed_content(id) for id in ("network", "validate#dataset", "validate#inferer"))
    return classify_volumes(*parts, folder, multi_label=bool(parser.get("multi_label", False)))
