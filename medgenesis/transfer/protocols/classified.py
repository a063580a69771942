"""A classifier trained on some records of a list, and its answers for others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.data import check_classes, check_findings
from medgenesis.inference import classify_volumes
from medgenesis.stopping import end_if_asked
from medgenesis.transfer.protocols.last_weights import check_all_used, prepare_training


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

    Raises:
        DatalistError: a record without its class or findings.
        ValueError: a plateau or patience, which would follow the test records.
        VolumeError: a record that cannot be used.
    """
    workflow = prepare_training(configs, training, test, folder, init=init, seed=seed, overrides=overrides)
    parser = workflow.parser
    multi_label = bool(parser.get("multi_label", False))
    check = check_findings if multi_label else check_classes  # the configs' own stands where the records were put
    check([*training, *test], parser.get_parsed_content("num_classes"))
    workflow.initialize()
    check_all_used(workflow, training, test)
    end_if_asked()
    workflow.run()
    end_if_asked()
    parts = (parser.get_parsed_content(id) for id in ("network", "validate#dataset", "validate#inferer"))
    return classify_volumes(*parts, folder, multi_label=multi_label)
