"""The Dice of a bundle's network of which nothing is learnt: a linear classifier of voxels on all of its maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medgenesis.handlers.first_crops import FirstCrops
from medgenesis.handlers.probe_first import CROPS, reestimate_norms_of_crops, voxels_each
from medgenesis.networks.voxel_probe import fit_voxel_probe
from medgenesis.transfer.protocols.last_dice import answered_dice, own_grid_workflow
from medgenesis.transfer.protocols.last_weights import check_all_used


def dice_of_frozen(
    configs: Sequence[str | Path],
    training: Sequence[dict],
    test: Sequence[dict],
    folder: str | Path,
    *,
    init: str,
    seed: int,
    overrides: Mapping[str, Any] | None = None,
) -> np.ndarray:
    """Segment by frozen features: logistic regression of voxels on the maps of all levels, encoder and decoder.

    It is fitted to crops that fine-tuning would see, augmented alike; batch norm's statistics are those of the same
    crops, for an untrained network too.

    Args:
        configs, training, test, folder, init, seed, overrides: see `dice_after_finetuning`; what is about the length
            and the rate of a training has no effect.

    Returns:
        Dice of each test record and class, as `dice_after_finetuning`.

    Raises:
        VolumeError: a record that cannot be used.
        ValueError: the crops hold fewer than two classes.
    """
    workflow = own_grid_workflow(configs, training, test, folder, init=init, seed=seed, overrides=overrides)
    check_all_used(workflow, training, test)
    parsed = workflow.parser.get_parsed_content
    network, device, dataset, number = (parsed(id) for id in ("network", "device", "train#dataset", "num_classes"))
    crops = FirstCrops(dataset, seed)
    reestimate_norms_of_crops(network, (image for image, _ in crops.first(CROPS)), device)
    each = voxels_each(number)
    probe = fit_voxel_probe(network, crops.first(CROPS), number, per_class=each, seed=seed, alike=False)
    workflow.evaluator.network = probe.to(device)
    return answered_dice(workflow, folder, "Frozen features")
