"""InfoNCE against a bank of negatives, and the purposive pruner that keeps look-alikes out of it."""

import logging
import math

import torch
import torch.nn.functional as F
from torch import Tensor

logger = logging.getLogger(__name__)


def info_nce(positive: Tensor, negatives: Tensor, temperature: float = 0.2, keep: Tensor | None = None) -> Tensor:
    """Mean over the queries of -log(e^(p/T) / (e^(p/T) + sum of e^(n/T) over the kept negatives n)).

    Args:
        positive: similarity (B,) of each query to its own key.
        negatives: similarities (B, K) to the keys of other images.
        temperature: T.
        keep: bool (B, K): which negatives count, or None for all. A query without negatives has loss 0.

    Returns:
        A scalar.

    References:
        He et al., Momentum Contrast, CVPR 2020 (arXiv 1911.05722), section 3.1.
    """
    if keep is not None:
        negatives = negatives.masked_fill(~keep, -math.inf)
    logits = torch.cat([positive[:, None], negatives], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def prune_negatives(similarities: Tensor, threshold: float) -> Tensor:
    """Which negatives to keep, bool, of the shape of `similarities`: those less similar than the threshold.

    Args:
        similarities: cosines (B, K), without temperature.
        threshold: negatives of this similarity or more are pruned: they may show the same anatomy.

    References:
        Hosseinzadeh Taher et al., Adam, DART at MICCAI 2023 (arXiv 2309.15358), section 2: purposive pruner.
    """
    return similarities < threshold


def check_threshold(threshold: float) -> None:
    """Warn of a pruning threshold that prunes nothing or everything.

    Raises:
        ValueError: it is not a number.
    """
    if math.isnan(threshold):
        raise ValueError("prune_above: must be a cosine, published 0.8; found nan. Give a number in (-1, 1).")
    if not -1 < threshold < 1:
        effect = "no negative but exact duplicates" if threshold >= 1 else "every negative, so that the loss is 0"
        logger.warning(
            "prune_above: should lie in (-1, 1), published 0.8; found %g, which prunes %s", threshold, effect
        )
