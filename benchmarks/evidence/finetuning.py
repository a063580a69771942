"""Fine-tuning from a few labelled cases for so many steps, from given weights or from none."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from benchmarks.evidence.batches import CasesInMemory, RandAugmentedCropd, labelled_sources_of, sources_of
from benchmarks.evidence.mean_teacher import MeanTeacher, RandBesideUnlabelledd
from benchmarks.evidence.networks import FinerLogits, segmenter
from benchmarks.evidence.scores import dice_of
from benchmarks.evidence.sets import Case, StudySet
from benchmarks.evidence.training import train
from medgenesis.engines import PretextMethod
from medgenesis.handlers.norm_statistics import ReestimateNorm
from medgenesis.losses import segmentation_loss
from medgenesis.methods import Supervised
from medgenesis.weights import load_pretrained

BATCH = 2  # crops a step
NORM_BATCHES = 16  # from which batch norm's statistics are estimated again before the evaluation
LOSS = "dice_ce"


def dice_after_finetuning(
    study: StudySet,
    weights: Mapping[str, Tensor] | None,
    labelled: Sequence[Case],
    tested: Sequence[Case],
    *,
    steps: int,
    rate: float,
    seed: int,
    teacher: bool = False,
    body: nn.Module | None = None,
    head_levels: str = "last",
) -> np.ndarray:
    """Dice of each tested case and structure, (cases, structures); see `fine_tuned`."""
    own = {"steps": steps, "rate": rate, "seed": seed, "teacher": teacher, "body": body, "head_levels": head_levels}
    network = fine_tuned(study, weights, labelled, **own)
    return dice_of(network.eval(), tested, len(study.structures), study.device)


def fine_tuned(
    study: StudySet,
    weights: Mapping[str, Tensor] | None,
    labelled: Sequence[Case],
    *,
    steps: int,
    rate: float,
    seed: int,
    teacher: bool = False,
    body: nn.Module | None = None,
    head_levels: str = "last",
) -> nn.Module:
    """The network after the last step, its batch norm's statistics estimated again.

    Encoder and decoder begin with `weights`, the head with those of the seed; None: all with those of the seed. What
    else is drawn (crops, their order) is a function of the seed alone, the same for every arm.

    Args:
        study: the set.
        weights: of a pretext, or None.
        labelled: what is learnt from.
        steps, rate, seed: of the training.
        teacher: whether a mean teacher learns from the unlabelled images beside.
        body: the network to begin with, head and all; None: as above.
        head_levels: whose maps the head sees, where it begins with the weights of the seed.
    """
    if body is None:
        body = segmenter(study, seed, head_levels)
        if weights is not None:
            load_pretrained(body, weights, skip_head="always")
    case = labelled[0]
    network = FinerLogits(body, case.label.shape[-1] // case.image.shape[-1])
    loss = segmentation_loss(LOSS, len(study.structures) + 1)
    method: PretextMethod = Supervised(network, loss)
    crop = RandAugmentedCropd(study.crop)
    if teacher:
        method = MeanTeacher(network, loss, steps)
        crop = RandBesideUnlabelledd(crop, sources_of(study.unlabelled), study.crop)
    data = CasesInMemory(labelled_sources_of(labelled), crop, steps * BATCH, seed)
    train(method, data, steps, BATCH, rate, device=study.device, handlers=(ReestimateNorm(NORM_BATCHES),))
    return network
