"""Settings of fine-tuning as a protocol of the study."""

from dataclasses import dataclass

import numpy as np
from torch import nn

from medgenesis.statistics.scores import MEASURES
from medgenesis.transfer.encoder import Encoder


@dataclass(frozen=True)
class Finetune:
    """Settings; the defaults of the optimiser, of the steps and of the crops are the study's.

    Args:
        steps: of SGD with Nesterov's momentum of 0.9, its rate falling to 0 along a cosine.
        rate: learning rate of the first step.
        weight_decay: of all weights.
        batch_size: images a step; the last batch of an epoch may be smaller.
        every: steps from one look at the validation to the next.
        patience: looks worse than the best, one after the other, that end the training. None: no early stopping; it
            learns from training and validation together, and the last weights are tested.
        metric: of the validation: "auc", "accuracy" or "balanced_accuracy".
        least_share: of the image's area (volume) that a random crop has at least; None: no crops and no flips.
        flip: mirror half of the crops, left to right.
        inputs: windows or slabs of a volume that are learnt from at a time, with the mean of their features.
        search: so many rates from 0.1 to 1e-4, each with so many weight decays and none, are tried before; 0: none.
        seed: of the dense layer, the order, the crops, and the validation that is drawn where there is none.
        compat: as the study: the validation is a fifth of the images, drawn by image, and the last weights are tested,
            not the best.
    """

    steps: int = 5000
    rate: float = 1e-2
    weight_decay: float = 1e-8
    batch_size: int = 64
    every: int = 200
    patience: int | None = 3
    metric: str = "auc"
    least_share: float | None = 0.08
    flip: bool = True
    inputs: int = 4
    search: int = 0
    seed: int = 0
    compat: bool = False


def search_grid(size: int) -> list[tuple[float, float]]:
    """Rates and weight decays of the study's search: `size` rates from 0.1 down to 1e-4, each with no decay and with
    `size` decays of 1e-6 to 1e-3 over the rate."""
    rates = np.logspace(-4, -1, size)[::-1]
    shares = [0.0, *np.logspace(-6, -3, size)]
    return [(float(rate), float(share / rate)) for rate in rates for share in shares]


def check_settings(encoder: Encoder, settings: Finetune) -> None:
    """Refuse settings out of their range, and an encoder without weights (ValueError)."""
    whole = (settings.steps, settings.batch_size, settings.every, settings.inputs, settings.patience or 1)
    share = 1.0 if settings.least_share is None else settings.least_share
    if min(whole) < 1 or settings.patience == 0 or not settings.rate > 0 or settings.weight_decay < 0:
        raise ValueError(
            f"steps, batch_size, every, inputs, patience, rate: must be at least 1 and the rate above 0; found "
            f"{whole}, {settings.patience} and {settings.rate}. Correct them."
        )
    if settings.metric not in MEASURES or not 0 < share <= 1 or settings.search < 0 or settings.search == 1:
        raise ValueError(
            f"metric, least_share, search: must be one of {', '.join(MEASURES)}, above 0 to 1, and 0 or at least 2; "
            f"found {settings.metric!r}, {settings.least_share} and {settings.search}. Correct them."
        )
    weights = encoder.network.parameters() if isinstance(encoder.network, nn.Module) else iter(())
    if next(iter(weights), None) is None or encoder.dims is None:
        raise ValueError(
            f"{encoder.name}: must have weights to be fine-tuned; found a function without any. Ask `linear`, which "
            "trains a classifier on its features."
        )
