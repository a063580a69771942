"""Rescaled cubes: sides, places, and what fits nowhere."""

import numpy as np
import pytest

from medgenesis.mining.resolutions import draw_rescaled


def by_loop(origin, size, shape, rng, tries):
    """The published rule for a cube of 64 x 64, written out."""
    for _ in range(tries):
        side = rng.randint(50, 80)
        dx, dy = rng.randint(-10, 10, size=2)
        x, y = origin[0] + dx, origin[1] + dy
        if x >= 0 and y >= 0 and x + side <= shape[0] and y + side <= shape[1]:
            return (x, y, origin[2]), (side, side, size[2])
    return None


@pytest.mark.parametrize("origin", [(40, 40, 9), (0, 0, 0), (64, 60, 32), (3, 58, 1)])
def test_the_published_rule(origin):
    ours, theirs = np.random.RandomState(0), np.random.RandomState(0)
    for tries in [1, 2, 200] * 100:
        found = draw_rescaled(origin, (64, 64, 32), (128, 128, 64), ours, tries)
        assert found == by_loop(origin, (64, 64, 32), (128, 128, 64), theirs, tries)


def test_sides_and_jitter_reach_both_ends():
    rng = np.random.RandomState(0)
    drawn = [draw_rescaled((50, 50, 5), (64, 64, 32), (200, 200, 64), rng) for _ in range(3000)]
    assert {size[0] for _, size in drawn} == set(range(50, 80))
    assert {origin[0] - 50 for origin, _ in drawn} == set(range(-10, 10))
    assert {origin[1] - 50 for origin, _ in drawn} == set(range(-10, 10))
    assert all(origin[2] == 5 and size[2] == 32 and size[0] == size[1] for origin, size in drawn)
    steps = np.array([origin[:2] for origin, _ in drawn])
    assert abs(np.corrcoef(steps.T)[0, 1]) < 0.1  # x and y are drawn apart


def test_other_cubes_are_scaled_alike():
    rng = np.random.RandomState(0)
    drawn = [draw_rescaled((50, 50, 5), (32, 16, 8), (200, 200, 64), rng) for _ in range(2000)]
    sizes, steps = np.array([size for _, size in drawn]), np.array([origin for origin, _ in drawn]) - (50, 50, 5)
    assert (sizes[:, 0].min(), sizes[:, 0].max()) == (25, 40)  # 25 to 39.5, a half goes to the even side
    assert (sizes[:, 1].min(), sizes[:, 1].max()) == (12, 20)  # 12.5 to 19.75
    assert (steps[:, 0].min(), steps[:, 0].max()) == (-5, 4)
    assert (steps[:, 1].min(), steps[:, 1].max()) == (-2, 2)
    assert (sizes[:, 2] == 8).all() and (steps[:, 2] == 0).all()
    assert min(draw_rescaled((0, 0, 0), (1, 1, 1), (9, 9, 9), rng)[1]) == 1


def test_what_fits_nowhere():
    assert draw_rescaled((0, 0, 0), (64, 64, 32), (49, 200, 64), np.random.RandomState(0)) is None
