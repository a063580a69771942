"""Linear probing before fine-tuning: the head begins as a classifier of the features that are there."""

import logging
from collections.abc import Iterable

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from medgenesis.handlers.first_crops import FirstCrops
from medgenesis.handlers.norm_statistics import reestimate_norms
from medgenesis.networks.probed_head import begin_head, head_classes
from medgenesis.networks.voxel_probe import batches_of
from medgenesis.weights.begun import head_was_loaded

logger = logging.getLogger(__name__)

CROPS = 48  # that are fitted to
MOST_CROPS = 480  # where the first show one class alone: slabs of a volume with a small structure
VOXELS = 10_000  # of all crops together, about
_BATCH = 8


class ProbeFirst:
    """Before the first step let the head be a linear classifier of voxels on the features, in place of random weights.

    It is fitted to crops of the first epochs, augmented as they are, after batch norm has got their statistics: some
    seconds. A random head sends noise through features that are good, and takes the first steps to become useful. A run
    that is continued is left alone, and so is a head that was loaded with the weights; where hundreds of crops show one
    class alone, the head begins at random. The log says so.

    Raises:
        ValueError: (when training starts) a network that `begin_head` refuses, or labels beyond its outputs.

    References:
        Kumar et al., Fine-tuning can distort pretrained features, ICLR 2022 (arXiv 2202.10054).
    """

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.iteration > 0:  # not a new run
            return
        network, loader = engine.method.network, engine.data_loader
        classes = head_classes(network)
        if engine.begins_anew or head_was_loaded(network):
            logger.info("probe_first: the head was loaded with the weights, and stays as it is")
            return
        seed, device = loader.sampler.seed, engine.state.device
        crops = FirstCrops(loader.dataset, seed)
        number = _enough(crops)
        if number is None:
            logger.warning("probe_first: %d crops show one class alone, so that the head begins at random", MOST_CROPS)
            return
        reestimate_norms_of_crops(network, (image for image, _ in crops.first(number)), device)
        absent = begin_head(network, crops.first(number), voxels_each(classes, number), seed)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for value in network.state_dict().values():  # processors may differ in the last digit
                torch.distributed.broadcast(value, 0)
        said = "" if not absent else f"; the crops lack the classes {', '.join(map(str, absent))}, which begin as rare"
        logger.info("the head begins as a linear classifier of %d crops%s", number, said)


def voxels_each(classes: int, number: int = CROPS) -> int:
    """How many voxels of a class are drawn in each of so many crops."""
    return max(1, VOXELS // (number * classes))


def reestimate_norms_of_crops(network: nn.Module, images: Iterable[Tensor], device: torch.device | str) -> None:
    """`reestimate_norms` from single images (C, *spatial), in batches of those of one shape."""
    batches = batches_of(((image,) for image in images), _BATCH)
    reestimate_norms(network, (torch.stack([image for (image,) in some]) for some in batches), device)


def _enough(crops: FirstCrops) -> int | None:
    """How many crops are fitted to: the usual number, more where those show one class alone; None: all do."""
    seen: set[int] = set()
    for count, (_, label) in enumerate(crops.first(MOST_CROPS), 1):
        seen.update(label.unique().int().tolist())
        if len(seen) > 1:
            return CROPS if count <= CROPS else MOST_CROPS
    return None
