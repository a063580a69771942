"""What a network answers on cases, and the Dice of each structure."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.evidence.batches import images_of
from benchmarks.evidence.sets import Case
from medgenesis.losses import hard_dice

_AT_ONCE = 16


@torch.no_grad()
def dice_of(
    answer: Callable[[Tensor], Tensor], cases: Sequence[Case], structures: int, device: str = "cpu"
) -> np.ndarray:
    """Dice of each case and structure, (cases, structures); NaN where neither has the structure.

    Args:
        answer: images (B, 1, *spatial) -> logits (B, structures + 1, *fine).
        cases: with labels.
        structures: how many.
        device: on which it answers.
    """
    found = []
    for start in range(0, len(cases), _AT_ONCE):
        some = cases[start : start + _AT_ONCE]
        predicted = answer(images_of(some).to(device)).argmax(dim=1).cpu()
        found += [dice(one, case.label[0], structures) for one, case in zip(predicted, some, strict=True)]
    return np.array(found)


def dice(predicted: Tensor, truth: Tensor, structures: int) -> list[float]:
    """Of each structure, of two label maps of one shape."""
    found = [hard_dice(predicted == value, truth == value) for value in range(1, structures + 1)]
    return [float("nan") if one is None else one for one in found]
