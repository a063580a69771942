"""One-shot answers of region prompts: prototypes of the labelled cases name the voxels of others; nothing is learnt."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from benchmarks.evidence.networks import enlarged
from benchmarks.evidence.pretexts import WINDOW
from benchmarks.evidence.scores import dice_of
from benchmarks.evidence.sets import Case
from medgenesis.methods.prototypes import prototype_logits, prototypes


def dice_of_prompts(
    network: nn.Module, labelled: Sequence[Case], tested: Sequence[Case], structures: int, device: str = "cpu"
) -> np.ndarray:
    """Dice of each tested case and structure, (cases, structures).

    Args:
        network: (B, 1, *spatial) -> features (B, D, *spatial), as pre-trained.
        labelled: the prompts.
        tested: with labels.
        structures: how many.
        device: of the network.
    """
    factor = labelled[0].label.shape[-1] // labelled[0].image.shape[-1]

    def features(images: Tensor) -> Tensor:
        return F.normalize(enlarged(network(images), factor), dim=1)

    with torch.no_grad(), eval_mode(network):
        banks = _banks(
            [features(case.image[None].to(device))[0] for case in labelled], labelled, structures, WINDOW * factor
        )
        return dice_of(
            lambda images: torch.stack([prototype_logits(one, banks) for one in features(images)]),
            tested,
            structures,
            device,
        )


def _banks(features: Sequence[Tensor], cases: Sequence[Case], structures: int, window: int) -> list[Tensor]:
    pairs = list(zip(features, cases, strict=True))
    return [
        torch.cat([prototypes(one, (case.label[0] == number).to(one.device), window) for one, case in pairs])
        for number in range(structures + 1)
    ]
