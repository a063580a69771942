"""Which samples an epoch holds, in which order, and the key from which each sample's randomness follows."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch.distributed
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """What a sample is a function of, together with the data set's seed."""

    epoch: int
    index: int


class SeededSampler(Sampler):
    """Yield `SampleKey(epoch, index)`; order and choice are a function of (seed, epoch) alone.

    So a sample does not depend on the number of workers, on what was drawn before, or on a restart: a run that is
    killed and continued at iteration *i* sees the samples that the uninterrupted run would have seen.

    Args:
        length: number of different samples, `len(dataset)`.
        seed: of the order.
        shuffle: False gives 0, 1, 2, …, the same in every epoch.
        weights: one non-negative number a sample; an epoch then *draws* `length` samples with these probabilities
            (with replacement), which is how data sets of different sizes are mixed.
        fixed: the epoch number in the keys stays 0, so that validation corrupts its cubes alike every time.

    Under `torch.distributed` the ranks share each epoch out evenly; left-over samples are dropped for that epoch.

    Raises:
        ValueError: weights of another length, negative, or all zero; an empty data set.
    """

    def __init__(
        self,
        length: int,
        seed: int = 0,
        shuffle: bool = True,
        weights: Sequence[float] | None = None,
        fixed: bool = False,
    ) -> None:
        if length < 1:
            raise ValueError(
                f"length: must be at least 1; found {length}, as the data set is empty. Give a data set with samples."
            )
        self.length, self.seed, self.shuffle, self.fixed = length, seed, shuffle, fixed
        self.probabilities = None if weights is None else _probabilities(weights, length)
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = torch.distributed.get_rank() if distributed else 0
        self.world_size = torch.distributed.get_world_size() if distributed else 1
        self.epoch = 0
        self.start = 0

    def set_position(self, epoch: int, start: int = 0) -> None:
        """The next iteration over this sampler is epoch `epoch` (from 0), beginning at this rank's sample `start`."""
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        """Samples of a whole epoch on this rank, wherever the next iteration starts."""
        return self.length // self.world_size

    def __iter__(self) -> Iterator[SampleKey]:
        start, self.start = self.start, 0  # only the first epoch after a restart begins in its middle
        epoch = 0 if self.fixed else self.epoch
        return (SampleKey(epoch, int(index)) for index in self.order(self.epoch)[start:])

    def order(self, epoch: int) -> np.ndarray:
        """Indices of this rank's samples in epoch `epoch`, in their order."""
        return self._indices(epoch)[self.rank :: self.world_size][: len(self)]

    def _indices(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.length)
        generator = np.random.default_rng([self.seed, epoch])
        if self.probabilities is None:
            return generator.permutation(self.length)
        return generator.choice(self.length, size=self.length, p=self.probabilities)


def _probabilities(weights: Sequence[float], length: int) -> np.ndarray:
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (length,):
        raise ValueError(
            f"weights: must have one number a sample; found {values.size} weights for {length} samples. Give as many "
            "as samples."
        )
    if not np.isfinite(values).all() or (values < 0).any() or values.sum() == 0:
        raise ValueError(
            "weights: must be finite, not negative, and not all zero; found others. Correct them in the datalist."
        )
    return values / values.sum()
