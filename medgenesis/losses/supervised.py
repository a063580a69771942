"""Losses of fine-tuning by name, with weights of the classes."""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from monai.losses import DiceCELoss, DiceFocalLoss, DiceLoss, FocalLoss
from torch import Tensor, nn

SEGMENTATION, CLASSIFICATION = ("dice_ce", "dice_focal", "dice"), ("cross_entropy", "focal")
BALANCED = "balanced"
_OVER_BATCH = dict(to_onehot_y=True, softmax=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)

Weights = Sequence[float] | str | None


def segmentation_loss(
    name: str | nn.Module, num_classes: int, class_weights: Weights = None, voxels: Mapping[int, int] | None = None
) -> nn.Module:
    """The loss of logits (B, num_classes, *spatial) and label maps (B, 1, *spatial).

    Args:
        name: "dice_ce", "dice_focal" or "dice": soft Dice over the batch with smooth 1 (as published), with
            cross-entropy or MONAI's focal loss (of the softmax, gamma 2, mean over classes) added; or a loss of one's
            own, which is returned and has its weights itself.
        num_classes: background included.
        class_weights: one number a class, background first, for the cross-entropy and the focal loss; "balanced":
            `balanced_weights` of `voxels`; None: all alike. Dice weighs every class alike by itself.
        voxels: of each class in the training section.

    Raises:
        ValueError: another name, fewer than 2 classes, weights of another number or negative, or weights beside "dice"
            or a loss of one's own.
    """
    if isinstance(name, nn.Module):
        return _own(name, class_weights)
    _check_name(name, SEGMENTATION)
    if num_classes < 2:  # the softmax of one class is 1, whatever the network answers
        raise ValueError(
            f"num_classes: must be at least 2; found {num_classes}. Give 2 for one structure: background included."
        )
    weights = class_weight_tensor(class_weights, num_classes, voxels)
    if name == "dice":
        if weights is not None:
            raise ValueError("class_weights: must be null with loss=dice, which has none; found some. Use dice_ce.")
        return DiceLoss(**_OVER_BATCH)
    if name == "dice_focal":
        loss: nn.Module = DiceFocalLoss(**_OVER_BATCH)
        loss.focal = FocalLoss(use_softmax=True, weight=weights)  # MONAI's own would take sigmoids, and weigh its Dice
        return loss
    loss = DiceCELoss(**_OVER_BATCH)
    loss.cross_entropy = nn.CrossEntropyLoss(weight=weights)  # `weight` of MONAI's would weigh its Dice too
    return loss


def classification_loss(
    name: str | nn.Module,
    num_classes: int,
    *,
    multi_label: bool = False,
    class_weights: Weights = None,
    records: Sequence[Mapping] = (),
) -> nn.Module:
    """The loss of logits (B, num_classes) and classes (B,), of findings (B, num_classes).

    Args:
        name: "cross_entropy", or "focal" (MONAI's, gamma 2, mean over classes); or a loss of one's own, which
            has its weights itself.
        num_classes: classes, or findings.
        multi_label: findings, of which several may be present: each is judged by its sigmoid.
        class_weights: one number a class; of findings, of their positive records against negative ones; "balanced":
            each side counts the same.
        records: of training, with `class` or `classes`, for balanced weights.

    Raises:
        ValueError: another name, weights of another number or negative, or weights beside "focal" of findings or a loss
            of one's own.
    """
    if isinstance(name, nn.Module):
        return _own(name, class_weights)
    _check_name(name, CLASSIFICATION)
    if multi_label:
        if class_weights == BALANCED:
            class_weights = [_odds([record["classes"][one] for record in records]) for one in range(num_classes)]
        weights = class_weight_tensor(class_weights, num_classes)
        if name == "focal":
            if weights is not None:
                raise ValueError(
                    "class_weights: must be null with loss=focal of findings; found some. Use cross_entropy."
                )
            return FocalLoss(include_background=True)
        return _EntropyOfFindings(pos_weight=weights)
    counts = Counter(record["class"] for record in records if "class" in record)
    weights = class_weight_tensor(class_weights, num_classes, counts)
    if name == "focal":
        return _FocalOfClasses(weights)
    return nn.CrossEntropyLoss(weight=weights)


def balanced_weights(counts: Mapping[int, int], num_classes: int) -> list[float]:
    """Weights with which each class that occurs counts as much as every other: n / (classes there * n of the class).

    Args:
        counts: of each class, absent ones 0.
        num_classes: of the network.

    Returns:
        A number a class, mean 1 over what is counted; 0 for classes that do not occur.
    """
    numbers = [int(counts.get(one, 0)) for one in range(num_classes)]
    there = sum(number > 0 for number in numbers)
    return [sum(numbers) / (there * number) if number else 0.0 for number in numbers]


def class_weight_tensor(weights: Weights, num_classes: int, counts: Mapping[int, int] | None = None) -> Tensor | None:
    """The weights as a tensor (num_classes,), or None.

    Raises:
        ValueError: another number of weights, a negative one, or an unknown word.
    """
    if weights is None:
        return None
    if weights == BALANCED:
        if not counts:
            raise ValueError(
                f"class_weights: {BALANCED} must have training records with classes to count; found none. Give "
                f"{num_classes} numbers, or null."
            )
        weights = balanced_weights(counts, num_classes)
    numbers = [] if isinstance(weights, str) else [float(one) for one in weights]
    if len(numbers) != num_classes or not all(0 <= one < float("inf") for one in numbers):
        raise ValueError(
            f"class_weights: must be null, {BALANCED}, or {num_classes} numbers, none below 0; found {weights!r}. "
            "Give one a class, background included."
        )
    return torch.tensor(numbers, dtype=torch.float32)


class _EntropyOfFindings(nn.BCEWithLogitsLoss):
    """PyTorch's, also of findings in whole numbers."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return super().forward(logits, target if target.is_floating_point() else target.to(logits.dtype))


class _FocalOfClasses(nn.Module):
    """Focal loss of classes that exclude each other; MONAI's takes one-hot maps."""

    def __init__(self, weights: Tensor | None) -> None:
        super().__init__()
        self.focal = FocalLoss(to_onehot_y=True, use_softmax=True, weight=weights)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.focal(logits, target[:, None])


def _odds(found: Sequence[int]) -> float:
    """Negative records for each positive one; 1 where all are alike, and nothing can be balanced."""
    present = sum(found)
    return (len(found) - present) / present if 0 < present < len(found) else 1.0


def _own(loss: nn.Module, class_weights: Weights) -> nn.Module:
    if class_weights is not None:
        raise ValueError(
            f"class_weights: must be null with a loss of one's own, which would not see them; found {class_weights!r}. "
            "Give them to the loss itself."
        )
    return loss


def _check_name(name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise ValueError(f"loss: must be one of {', '.join(names)}; found {name!r}. Choose one of them.")
