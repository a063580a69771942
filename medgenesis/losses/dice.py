"""Dice of two masks, as results are judged by; `segmentation_loss` has the soft one that is trained on."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

Mask = TypeVar("Mask", np.ndarray, Tensor)


def hard_dice(one: Mask, other: Mask) -> float | None:
    """2 |A and B| / (|A| + |B|); None where both are empty.

    Args:
        one: True inside, of any shape.
        other: likewise, of the same shape.

    Raises:
        ValueError: other shapes, or masks of numbers.
    """
    if one.shape != other.shape:
        raise ValueError(
            f"one, other: must have the same shape; found {tuple(one.shape)} and {tuple(other.shape)}. Bring both onto "
            "one grid."
        )
    if any(mask.dtype not in (bool, torch.bool) for mask in (one, other)):
        raise ValueError(
            f"one, other: must be masks of True and False; found {one.dtype} and {other.dtype}. Compare numbers first, "
            "`labels == 1` for example."
        )
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else None
