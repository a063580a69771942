"""Feature reuse: how alike the features of two networks are, stage by stage of their encoders."""

import copy
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from monai.inferers import Inferer
from torch import Tensor, nn

from medgenesis.inference.embedding import embed_volume
from medgenesis.storage.tables import write_table
from medgenesis.transfer.scratch import chunks
from medgenesis.weights import load_pretrained

logger = logging.getLogger(__name__)

REUSE_COLUMNS = ("stage", "channels", "images", "cka", "cka_debiased")
_FEW = 500  # images, below which plain CKA says too much


def linear_cka(one: np.ndarray, other: np.ndarray, *, debiased: bool = False) -> float:
    """Linear centred kernel alignment of two sets of features of the same images: 1 where one is a rotation and scaling
    of the other, 0 where they have nothing in common.

    Args:
        one: (images, features).
        other: (images, other features).
        debiased: with the unbiased estimate of HSIC, for few images: unrelated features then have about 0 (and may be
            below it), where the plain form grows with the number of features; at least 4 images.

    Returns:
        NaN where a set is constant (all rows equal), or has too few images.

    Raises:
        ValueError: sets of different numbers of images, or other than tables.

    References:
        Kornblith et al., Similarity of neural network representations revisited, ICML 2019 (arXiv 1905.00414).
        Song et al., Feature selection via dependence maximization, JMLR 13 (2012): the unbiased estimate.
    """
    if one.ndim != 2 or other.ndim != 2 or len(one) != len(other):
        raise ValueError(
            f"one, other: must be (images, features) of the same images; found {one.shape} and {other.shape}. Give a "
            "row an image."
        )
    if _is_constant(one) or _is_constant(other):  # centred by a mean that is rounded it is not all 0
        return float("nan")
    cross, first, second = (_hsic(*pair, debiased) for pair in ((one, other), (one, one), (other, other)))
    return float(cross / np.sqrt(first * second)) if first > 0 and second > 0 else float("nan")


def _is_constant(features: np.ndarray) -> bool:
    return all((some == features[0].astype(np.float64)).all() for some in chunks(features, np.arange(len(features))))


def _hsic(one: np.ndarray, other: np.ndarray, debiased: bool) -> float:
    """The sum over all pairs of images of the product of both kernels, or the unbiased estimate of HSIC; by sums over
    images alone, some at a time: no table of all pairs, whatever their number."""
    n, every = len(one), np.arange(len(one))
    x_mean, y_mean = (sum(some.sum(0) for some in chunks(features, every)) / n for features in (one, other))
    cross, traces, diagonal = np.zeros((one.shape[1], other.shape[1])), np.zeros(2), 0.0
    for x, y in zip(chunks(one, every), chunks(other, every), strict=True):
        x, y = x - x_mean, y - y_mean
        cross += x.T @ y
        own = [(part**2).sum(1) for part in (x, y)]  # the diagonals; of centred features a whole row adds up to 0
        traces += [part.sum() for part in own]
        diagonal += float((own[0] * own[1]).sum())
    if not debiased:
        return float((cross**2).sum())
    if n < 4:
        return float("nan")
    sums = traces[0] * traces[1] / ((n - 1) * (n - 2))
    return float(((cross**2).sum() - diagonal + sums - 2 * diagonal / (n - 2)) / (n * (n - 3)))


def report_reuse(
    network: nn.Module,
    after: str | Path,
    volumes: Iterable[dict],
    cube_size: Sequence[int] | Inferer,
    path: str | Path,
) -> list[dict]:
    """Compare the encoder of a network with that of weights fine-tuned from it, and write a row a stage.

    Args:
        network: with the weights of before, on its device; left as it is.
        after: file of the fine-tuned weights; its encoder alone counts.
        volumes: items with `image`, as of `embed_volumes`; a stage's feature is the mean over an image.
        cube_size: see `embed_volume`.
        path: the CSV file.

    Returns:
        The rows, `REUSE_COLUMNS`.

    References:
        Hosseinzadeh Taher et al., CAiD, MIDL 2022 (arXiv 2204.07344), section on feature reuse.
    """
    changed = copy.deepcopy(network)
    logger.info("after: %s", load_pretrained(changed, after, parts="encoder"))
    sizes = _channels(network, volumes, cube_size)
    found: list[list[np.ndarray]] = [[], []]
    for item in volumes:
        for one, vectors in zip((network, changed), found, strict=True):
            vectors.append(embed_volume(one, item["image"], cube_size, pool=_all_stages))
    starts = np.cumsum([0, *sizes])
    before, behind = (np.stack(vectors) for vectors in found)
    rows = []
    for stage, (start, end) in enumerate(zip(starts[:-1], starts[1:], strict=True), 1):
        pair = before[:, start:end], behind[:, start:end]
        figures = (linear_cka(*pair), linear_cka(*pair, debiased=True))
        cells = (stage, int(end - start), len(before), *(None if np.isnan(one) else one for one in figures))
        rows.append(dict(zip(REUSE_COLUMNS, cells, strict=True)))
    write_table(path, rows, REUSE_COLUMNS, decimals=".4f")
    if len(before) < _FEW:
        logger.warning("%d images: below %d read cka_debiased; plain cka is too high", len(before), _FEW)
    logger.info("written: %s", path)
    return rows


def _all_stages(features: list[Tensor] | Tensor) -> Tensor:
    """The mean of each feature map, side by side: (B, channels of all stages)."""
    maps = [features] if isinstance(features, Tensor) else features
    return torch.cat([one.flatten(2).mean(dim=2) if one.ndim > 2 else one for one in maps], dim=1)


def _channels(network: nn.Module, volumes: Iterable[dict], cube_size: Sequence[int] | Inferer) -> list[int]:
    """Channels of each stage, seen on the first image."""
    seen: list[int] = []

    def note(features: list[Tensor] | Tensor) -> Tensor:
        seen[:] = [one.shape[1] for one in ([features] if isinstance(features, Tensor) else features)]
        return _all_stages(features)

    embed_volume(network, next(iter(volumes))["image"], cube_size, pool=note)
    return seen
