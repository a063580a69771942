"""The bootstrap over patients: whom each draw takes."""

from collections.abc import Iterator

import numpy as np


def patient_draws(count: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Numbers (count,) of the patients of each draw, int from 0 to `count` - 1, with replacement; one draw at a time,
    for all of them are `draws` times as many."""
    generator = np.random.default_rng(seed)
    for _ in range(draws):
        yield generator.integers(count, size=count)
