"""The loss of Barlow Twins: two views agree in each feature, and no two features say the same."""

import torch
from torch import Tensor

from medgenesis.losses.ranks import gathered


def barlow_twins(first: Tensor, second: Tensor, off_diagonal: float = 0.005, *, all_ranks: bool = False) -> Tensor:
    """Sum of (1 - C_ii)^2 plus `off_diagonal` times the sum of C_ij^2, i != j, of the views' cross-correlation C.

    C = A^T B / N of the embeddings, each feature standardised over the batch of N (mean 0, biased variance 1).

    Args:
        first: embeddings (N, F) of one view of each image.
        second: those of the other view.
        off_diagonal: the weight lambda.
        all_ranks: correlate over the batches of all processes, which must all call it.

    Returns:
        A scalar, float32.

    Raises:
        ValueError: another shape, or fewer than 2 images.

    References:
        Zbontar et al., Barlow Twins, ICML 2021 (arXiv 2103.03230), section 2.

    Notes:
        Over several processes the embeddings are gathered, not the correlations summed: N x F numbers instead of F^2
        (67 million as published), the statistics are of all images too, and the loss is that of one process with all
        of them. MONAI's BarlowTwinsLoss divides by the unbiased deviation but averages by N, so that no C_ii reaches 1,
        and knows one process only.
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"embeddings: must be two (N, F); found {tuple(first.shape)} and {tuple(second.shape)}. Give both views of "
            "the same batch."
        )
    first, second = first.float(), second.float()
    if all_ranks:
        first, second = gathered(first), gathered(second)
    if len(first) < 2:
        raise ValueError("embeddings: must be of at least 2 images, to correlate over; found 1. Use a larger batch.")
    with torch.autocast(first.device.type, enabled=False):  # sums over the batch need more than half precision
        correlation = _standardised(first).T @ _standardised(second) / len(first)
        diagonal = correlation.diagonal()
        off = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + off_diagonal * off


def _standardised(features: Tensor, least: float = 1e-5) -> Tensor:
    """Each column with mean 0 and variance 1; `least` is added to the variance, as batch norm does."""
    variance, mean = torch.var_mean(features, dim=0, correction=0)
    return (features - mean) * (variance + least).rsqrt()
