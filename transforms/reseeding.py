"""A random state that is seeded anew for every sample, cheaply."""

import copy
from typing import TYPE_CHECKING

import numpy as np
from monai.transforms import Compose, Randomizable
from monai.utils import MAX_SEED

if TYPE_CHECKING:
    from typing_extensions import Self  # of typing from Python 3.11 on


class Reseeded(Randomizable):
    """A `Randomizable` that seeds the generator that it has, where MONAI makes a new one, which takes 50 times as long.

    The draws are the same. A generator that was given as `state` is left alone. `copy.copy` is `copy.deepcopy`: seeding
    a copy that shared generator or parts would seed the original.
    """

    _own: np.random.RandomState | None = None

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> "Self":
        if not isinstance(seed, (int, np.integer)):
            super().set_random_state(seed, state)
            return self
        if self._own is None:
            self._own = np.random.RandomState()
        self._own.seed(int(seed) % MAX_SEED)
        self.R = self._own
        return self

    def __copy__(self) -> "Self":
        return copy.deepcopy(self)


class ReseededCompose(Compose, Reseeded):
    """MONAI's `Compose`, likewise."""
