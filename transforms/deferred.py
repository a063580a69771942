"""Random transforms of single samples, done later to a whole batch on its device, with the same result."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from monai.transforms import Transform
from monai.utils import MAX_SEED

from medgenesis.transforms.base import RandVolumeTransformd
from medgenesis.transforms.reseeding import Reseeded

if TYPE_CHECKING:
    from typing_extensions import Self  # of typing from Python 3.11 on

SEED = "deferred_seed"  # the key of a sample's seed


class Deferred(Reseeded, Transform):
    """Leave a dictionary transform to be done to whole batches: a sample keeps the seed that it is to be done with.

    Where a GPU has few processor cores beside it, a loader that only crops keeps up, and the device does the rest.
    `on_batch` gives what the transform itself would have given in the loader: bit for bit on the processor with
    compiled kernels (numba), within rounding elsewhere.

    Args:
        transform: such as `RandGenesisd`, `RandMaskBlocksd`; its random state is used up.

    Raises:
        ValueError: a transform without a batched form; (on call) a sample that has a seed already, of another
            `Deferred` in its chain: only one can be left to the batch.

    Notes:
        The first call after `set_random_state(seed)` stands for that of `transform.set_random_state(seed)`; further
        ones draw new seeds.
    """

    def __init__(self, transform: RandVolumeTransformd) -> None:
        if not isinstance(transform, RandVolumeTransformd) or transform.array.batched is None:
            raise ValueError(
                "transform: must have a batched form to be deferred, as RandGenesisd and RandMaskBlocksd have; found "
                f"{type(transform).__name__}. Leave it to the loader (without the overlay device)."
            )
        self.transform = transform
        self._given: int | None = None

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> "Self":
        super().set_random_state(seed, state)
        self._given = None if seed is None else int(seed)
        return self

    def randomize(self, data: Any = None) -> None:
        """Take the seed of the next sample."""
        self.seed = int(self.R.randint(MAX_SEED, dtype="uint32")) if self._given is None else self._given
        self._given = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if SEED in data:
            raise ValueError(
                f"{SEED}: must not be a key of the sample, as the seed of one Deferred goes there; found it there "
                "already. Defer one transform of a chain alone, its last."
            )
        self.randomize()
        return {**data, SEED: self.seed}

    def on_batch(self, batch: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Collated samples as the transform would have made them, without their seeds.

        Args:
            batch: tensors (B, C, *spatial) on any device, and the seeds, int64 (B,), best in the processor's memory.
        """
        rest = dict(batch)
        return self.transform.on_batch(rest, rest.pop(SEED).tolist())
