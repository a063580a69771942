"""A random state that is seeded anew for every sample, cheaply."""

from typing import TYPE_CHECKING

import numpy as np
from monai.transforms import Compose, Randomizable
from monai.utils import MAX_SEED

if TYPE_CHECKING:
    from typing_extensions import Self  # of typing from Python 3.11 on


class Reseeded(Randomizable):
    """A `Randomizable` that seeds the generator that it has, where MONAI makes a new one, which takes 50 times as long.

    The draws are the same. A generator that was given as `state` is left alone.
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


class ReseededCompose(Compose, Reseeded):
    """MONAI's `Compose`, likewise."""
