"""The same place at other scales: where and how large the cubes of resolutions 2 and 3 are."""

from collections.abc import Sequence

import numpy as np

RESOLUTIONS = (1, 2, 3)
_SIDE = (50, 79)  # in the plane, of a cube of 64
_JITTER = (-10, 9)
_CUBE_SIDE = 64


def draw_rescaled(
    origin: Sequence[int], size: Sequence[int], shape: Sequence[int], rng: np.random.RandomState, tries: int = 200
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """First voxel and size of a cube near `origin`, of another side in the plane; None if none of the draws fits.

    One number I(50, 79) gives both sides, I(-10, 9) is added to the first voxel in x and in y; for cubes of other
    sides than 64 x 64 each is multiplied by side / 64 and rounded. Depth is neither moved nor scaled. All three are
    drawn anew until the cube lies inside the volume.

    Args:
        origin: first voxel at resolution 1 (x, y, z).
        size: voxels at resolution 1 (X, Y, Z).
        shape: voxels of the volume.
        rng: source of the numbers.
        tries: draws at most.

    References:
        Haghighi et al., Semantic Genesis, arXiv 2007.06959; I(a, b) holds both ends.
    """
    scale = np.array(size[:2]) / _CUBE_SIDE
    for _ in range(tries):
        side = rng.randint(_SIDE[0], _SIDE[1] + 1)
        jitter = rng.randint(_JITTER[0], _JITTER[1] + 1, size=2)
        sides = np.maximum(np.rint(side * scale), 1).astype(int)
        starts = np.asarray(origin[:2]) + np.rint(jitter * scale).astype(int)
        if (starts >= 0).all() and (starts + sides <= shape[:2]).all():
            return (*starts.tolist(), int(origin[2])), (*sides.tolist(), int(size[2]))
    return None
