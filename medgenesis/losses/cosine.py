"""The loss of SimSiam: predict one view's embedding from the other's."""

import torch.nn.functional as F
from torch import Tensor


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Minus the mean cosine between predictions (B, F) and targets (B, F), in [-1, 1]; no gradient to the targets.

    Raises:
        ValueError: other shapes.

    References:
        Chen and He, SimSiam, CVPR 2021 (arXiv 2011.10566), section 3.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"target: must have the shape of the prediction, {tuple(prediction.shape)}; found {tuple(target.shape)}. "
            "Give one of each image."
        )
    return -F.cosine_similarity(prediction.float(), target.detach().float(), dim=1).mean()
