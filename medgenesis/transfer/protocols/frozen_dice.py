"""The Dice of a bundle's network of which nothing is learnt: a linear classifier of voxels on all of its maps."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from torch import Tensor

from medgenesis.data import SeededSampler
from medgenesis.handlers.norm_statistics import reestimate_norms
from medgenesis.inference.voxel_probe import fit_voxel_probe
from medgenesis.transfer.protocols.last_dice import answered_dice, own_grid_workflow
from medgenesis.transfer.protocols.last_weights import check_all_used

CROPS = 48  # that are learnt from
VOXELS = 10_000  # of all crops together, about
_BATCH = 8


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
    reestimate_norms(network, _batches(image for image, _ in _crops(dataset, seed)), device)
    each = max(1, VOXELS // (CROPS * number))
    probe = fit_voxel_probe(network, _crops(dataset, seed), number, per_class=each, seed=seed, alike=False)
    workflow.evaluator.network = probe.to(device)
    return answered_dice(workflow, folder, "Frozen features")


def _crops(dataset: Dataset, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Image (C, *spatial) and label map (1, *spatial) of the crops of the first epochs, a function of the seed."""
    return itertools.islice(_all_crops(dataset, seed), CROPS)


def _all_crops(dataset: Dataset, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    sampler = SeededSampler(len(dataset), seed)
    for epoch in itertools.count():
        sampler.set_position(epoch)
        for key in sampler:
            found = dataset[key]
            for crop in found if isinstance(found, list) else [found]:
                image, label = (torch.as_tensor(crop[name]).as_subclass(Tensor) for name in ("image", "label"))
                yield image, label


def _batches(images: Iterable[Tensor]) -> Iterator[Tensor]:
    images = iter(images)
    while some := list(itertools.islice(images, _BATCH)):
        yield torch.stack(some)
