"""The crops that a training begins with, to look at more than once before it begins."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from medgenesis.data import SampleKey, SeededSampler

KEPT = 2**30  # bytes, of crops that are not read again


class FirstCrops:
    """Crops of the first epochs, a function of the seed: each is read once, as long as all that were fit into 1 GiB.

    Args:
        dataset: of a `SampleKey` it gives an item, or a list of items, with `image` and `label`.
        seed: of the order.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        self._kept: dict[SampleKey, list[tuple[Tensor, Tensor]]] = {}
        self._room = KEPT

    def first(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Image (C, *spatial) and label map (1, *spatial) of so many."""
        return itertools.islice(itertools.chain.from_iterable(map(self._crops, self._keys())), number)

    def _keys(self) -> Iterator[SampleKey]:
        sampler = SeededSampler(len(self.dataset), self.seed)
        sampler.rank, sampler.world_size = 0, 1  # every process: the same
        for epoch in itertools.count():
            sampler.set_position(epoch)
            yield from sampler

    def _crops(self, key: SampleKey) -> list[tuple[Tensor, Tensor]]:
        if key in self._kept:
            return self._kept[key]
        found = self.dataset[key]
        items = found if isinstance(found, list) else [found]
        crops = [(_plain(item["image"]), _plain(item["label"])) for item in items]
        self._room -= sum(image.nbytes + label.nbytes for image, label in crops)
        if self._room >= 0:
            self._kept[key] = [(image.clone(), label.clone()) for image, label in crops]  # no views of whole volumes
        return crops


def _plain(values: Any) -> Tensor:
    """Without meta data."""
    return torch.as_tensor(values).as_subclass(Tensor)
