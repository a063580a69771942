"""Slow, obvious twins of the transforms, written from the published method: a cube in, a new cube out.

A cube is one channel (X, Y, Z) in [0, 1], each side of at least 14 voxels. They are as fast as the plain style allows
and no faster: one window after another, a curve of 100 000 points, a Gaussian filter for each field of displacements.
"""

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates


def slow_shuffle(rng: np.random.RandomState, cube: np.ndarray, windows: int = 10_000) -> np.ndarray:
    """Permute the voxels of one window after another; each reads the cube as it came in."""
    out, shape = cube.copy(), np.array(cube.shape)
    sides = rng.randint(1, np.maximum(1, shape // 10) + 1, (windows, 3))
    starts = rng.randint(0, shape - sides + 1)
    for (a, b, c), (x, y, z) in zip(sides.tolist(), starts.tolist(), strict=True):
        window = cube[x : x + a, y : y + b, z : z + c].flatten()
        rng.shuffle(window)
        out[x : x + a, y : y + b, z : z + c] = window.reshape(a, b, c)
    return out


def slow_nonlinear(rng: np.random.RandomState, cube: np.ndarray, points: int = 100_000) -> np.ndarray:
    """Map by a cubic Bezier curve of many points, sorted; falling in half of the calls."""
    t = np.linspace(0, 1, points)
    x, y = (3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t**2 * b + t**3 for a, b in rng.random_sample((2, 2)))
    return np.interp(cube, np.sort(x), np.sort(y) if rng.random_sample() < 0.5 else y[::-1])


def _place(rng: np.random.RandomState, shape: tuple[int, ...], sides: list[int]) -> tuple[slice, ...]:
    """A block of these sides, at least 3 voxels from the border."""
    starts = [rng.randint(3, s - a - 3 + 1) for s, a in zip(shape, sides, strict=True)]
    return tuple(slice(x, x + a) for x, a in zip(starts, sides, strict=True))


def slow_inpaint(rng: np.random.RandomState, cube: np.ndarray, blocks: int = 5, p_continue: float = 0.95) -> np.ndarray:
    """Fill up to so many blocks with noise; before each one goes on with a probability."""
    out, left = cube.copy(), blocks
    while left > 0 and rng.random_sample() < p_continue:
        sides = [rng.randint(s // 6, s // 3 + 1) for s in cube.shape]
        out[_place(rng, cube.shape, sides)] = rng.random_sample(sides)
        left -= 1
    return out


def slow_outpaint(
    rng: np.random.RandomState, cube: np.ndarray, blocks: int = 5, p_continue: float = 0.95
) -> np.ndarray:
    """Noise everywhere but in one block, and in each further one with a probability."""
    out, left = rng.random_sample(cube.shape), blocks
    while left == blocks or (left > 0 and rng.random_sample() < p_continue):
        box = _place(rng, cube.shape, [s - rng.randint(3 * s // 7, 4 * s // 7 + 1) for s in cube.shape])
        out[box] = cube[box]
        left -= 1
    return out


def slow_elastic(rng: np.random.RandomState, cube: np.ndarray, alpha: float = 991.0, sigma: float = 8.0) -> np.ndarray:
    """Read at places displaced in the plane by two smoothed fields of noise."""
    places = list(np.meshgrid(*(np.arange(s) for s in cube.shape), indexing="ij"))
    for axis in range(2):
        noise = rng.random_sample(cube.shape) * 2 - 1
        places[axis] = places[axis] + alpha * gaussian_filter(noise, sigma, mode="constant")
    return map_coordinates(cube, places, order=1, mode="reflect")


def slow_models(rng: np.random.RandomState, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pair of Models Genesis: corrupted and target."""
    target, left = cube, 3
    while left > 0 and rng.random_sample() < 0.4:
        target, left = np.flip(target, rng.randint(cube.ndim)), left - 1
    out = slow_shuffle(rng, target) if rng.random_sample() < 0.5 else target.copy()
    if rng.random_sample() < 0.9:
        out = slow_nonlinear(rng, out)
    if rng.random_sample() < 0.9:
        out = slow_inpaint(rng, out) if rng.random_sample() < 0.2 else slow_outpaint(rng, out)
    return out, target


def slow_semantic(rng: np.random.RandomState, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pair of Semantic Genesis: elastic, then one of four; five windows, or one block."""
    out, chosen = slow_elastic(rng, cube), rng.randint(4)
    if chosen == 0:
        return slow_shuffle(rng, out, windows=5), cube
    if chosen == 1:
        return slow_nonlinear(rng, out), cube
    paint = slow_inpaint if chosen == 2 else slow_outpaint
    return paint(rng, out, blocks=1, p_continue=1.0), cube
