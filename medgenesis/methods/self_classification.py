"""Self-classification: the loss of naming the anatomical pattern that a cube shows."""

import torch
import torch.nn.functional as F
from torch import Tensor


def self_classification(logits: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the logits with the pseudo labels of the batch, and the share of cubes named rightly.

    Args:
        logits: (B, num_classes).
        batch: with `class`, whole numbers (B,) from 0 to num_classes - 1.

    Returns:
        The loss and the accuracy in [0, 1], scalars; the gradient flows through the loss alone.

    Raises:
        ValueError: `class` is absent, of another shape or kind, or outside 0 to num_classes - 1.
    """
    classes = _checked(batch, *logits.shape)
    accuracy = (logits.argmax(dim=1) == classes).float().mean()
    return F.cross_entropy(logits, classes), accuracy


def _checked(batch: dict[str, Tensor], cubes: int, num_classes: int) -> Tensor:
    remedy = "Take batches from medgenesis.mining.PatternDataset, or give each cube its class."
    if "class" not in batch:
        raise ValueError(f"class: must be in the batch; found {', '.join(batch)}. {remedy}")
    classes = batch["class"]
    if classes.shape != (cubes,) or classes.is_floating_point():
        found = f"{tuple(classes.shape)} of {classes.dtype}"
        raise ValueError(f"class: must be {cubes} whole numbers, one a cube; found {found}. {remedy}")
    least, most = torch.aminmax(classes)
    if least < 0 or most >= num_classes:  # on a GPU, cross_entropy would end the process with a device-side assertion
        raise ValueError(
            f"class: must be from 0 to {num_classes - 1}; found {least} to {most}. Set num_classes to the number of "
            "patterns that were discovered."
        )
    return classes.long()
