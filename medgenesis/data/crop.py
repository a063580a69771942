"""The contract of a random crop: what a data set of patches or slabs asks of the transform that makes them."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch


class Crop(Protocol):
    """A random dictionary transform that takes one sample from a whole image; `RandAcceptedCropd` and `RandSlabd` are.

    Attributes:
        keys: of the images; the first is what `acceptance` is asked about.

    Notes:
        With `reads_regions = True` a class says that the volumes of its `keys` and `label_keys` may be
        `BlockedVolume`s, of which it reads regions; to others, and to classes derived from it, those of the cache
        "compressed" come whole.
    """

    keys: Sequence[Hashable]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with one random sample in place of each image."""
        ...

    def acceptance(self, volume: torch.Tensor, draws: int, rng: np.random.RandomState) -> float:
        """Share of `draws` random samples of a volume (C, *spatial) that are worth learning from; 1 where all are.

        Raises:
            VolumeError: the volume is too small.
        """
        ...

    def kinds(self) -> Sequence["Crop"]:
        """One crop for each shape that a sample may have, so that all are tried before training; most have one."""
        ...
