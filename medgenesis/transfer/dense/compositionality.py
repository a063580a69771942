"""Whether the embedding of a whole is that of its parts together."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medgenesis.transfer.dense.embedder import DenseEmbedder

SPLITS = {2: (1, 2), 3: (3, 1), 4: (2, 2)}
"""Parts -> rows and columns that a patch is cut into: side by side, stacked, both."""
_OF_VOLUMES = {2: (2, 1), 3: (1, 3), 4: (2, 2)}  # the same along x and y: in the plane of slabs


def measure_compositionality(
    embedder: DenseEmbedder,
    images: Sequence[Tensor],
    *,
    patches: int = 200,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> dict[int, dict[str, float]]:
    """Cosine between the embedding of a patch and the mean of the embeddings of its parts, each resized alike.

    Args:
        embedder: what embeds; its window is the side of a patch.
        images: slabs (k, H, W) or volumes (k, X, Y, Z) in [0, 1], two or more, each at least as large as a patch.
            Volumes are cut along x and y alone.
        patches: at least so many, at random places, as many of each image.
        seed: of the places.
        names: of the images, for errors; None: their numbers.

    Returns:
        Number of parts (2, 3, 4) -> "mean", "sd", "q25", "median", "q75" of the cosines; "unrelated", the mean cosine
        of patches and parts of other images; "difference", what wholes and their own parts have more. Constant
        features have a mean of 1, and a difference of 0.

    Raises:
        ValueError: fewer than two images, one smaller than a patch, or no patches.
        VolumeError: an image whose features are not finite, by its name.

    References:
        Hosseinzadeh Taher et al., Adam, DART at MICCAI 2023 (arXiv 2309.15358), section 3.

    Notes:
        Neither the layer nor how parts are put together is published: pooled features, and their mean, are ours;
        `DenseEmbedder(nn.Sequential(backbone, head))` asks the head.
    """
    dims = images[0].ndim - 1 if images else 2
    window = embedder.windows(dims)
    if len(images) < 2 or patches < 1 or any(np.less(image.shape[1:], window).any() for image in images):
        raise ValueError(
            f"images: must be two or more with sides of at least window, {embedder.window}, and patches at least 1; "
            f"found {[tuple(image.shape) for image in images[:3]]} … ({len(images)}), {patches}. Use more "
            "or larger images, or a smaller window."
        )
    rng = np.random.default_rng(seed)
    names = [f"image {number + 1}" for number in range(len(images))] if names is None else names
    wholes, owners = [], []
    for number in range(len(images) * -(-patches // len(images))):
        image = images[number % len(images)]
        owners.append(names[number % len(images)])
        starts = [int(rng.integers(side - own + 1)) for side, own in zip(image.shape[1:], window, strict=True)]
        place = tuple(slice(start, start + own) for start, own in zip(starts, window, strict=True))
        wholes.append(torch.as_tensor(image)[(slice(None), *place)])
    whole, splits = embedder.embed(torch.stack(wholes), owners), SPLITS if dims == 2 else _OF_VOLUMES
    return {count: _figures(whole, _mean_of_parts(embedder, wholes, owners, *split)) for count, split in splits.items()}


def _mean_of_parts(embedder: DenseEmbedder, wholes: list[Tensor], owners: list[str], first: int, second: int) -> Tensor:
    """Mean embedding (N, C) of the parts of each patch, so many along its first two axes."""
    stack = torch.stack(wholes)
    parts = [part for band in stack.tensor_split(first, dim=2) for part in band.tensor_split(second, dim=3)]
    return torch.stack([embedder.embed(part, owners) for part in parts]).mean(dim=0)


def _figures(whole: Tensor, parts: Tensor) -> dict[str, float]:
    own = F.cosine_similarity(whole.double(), parts.double()).numpy()
    others = F.cosine_similarity(whole.double(), parts.double().roll(1, dims=0)).numpy()  # the next is another image's
    low, median, high = np.quantile(own, (0.25, 0.5, 0.75))
    unrelated = float(others.mean())
    return {
        "mean": float(own.mean()),
        "sd": float(own.std(ddof=1)) if len(own) > 1 else 0.0,
        "q25": float(low),
        "median": float(median),
        "q75": float(high),
        "unrelated": unrelated,
        "difference": float(own.mean()) - unrelated,
    }
