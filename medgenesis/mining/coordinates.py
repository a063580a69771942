"""The same place in another patient, by the same voxel or relative to the body; and at other scales."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medgenesis.errors import VolumeError
from medgenesis.mining.geometry import VolumeInfo

logger = logging.getLogger(__name__)

MODES = ("auto", "voxel", "body")
_SPACING_RATIO = 1.05
RESOLUTIONS = (1, 2, 3)
_SIDE = (50, 79)  # in the plane, of a cube of 64
_JITTER = (-10, 9)
_CUBE_SIDE = 64


@dataclass(frozen=True)
class CoordinateSystem:
    """How the place of a cube in one volume becomes its place in another.

    Args:
        mode: "voxel": the shared coordinate is the cube's first voxel itself. "body": it is the cube's centre, as a
            fraction of the body box along each axis.
        size: voxels of the cube (X, Y, Z).
    """

    mode: str
    size: tuple[int, ...]

    def share(self, origin: Sequence[int], volume: VolumeInfo) -> tuple[float, ...]:
        """The shared coordinate of the cube whose first voxel is `origin` in `volume`."""
        if self.mode == "voxel":
            return tuple(origin)
        first, behind = volume.body_box
        axes = zip(origin, self.size, first, behind, strict=True)
        return tuple((start + side / 2 - low) / (high - low) for start, side, low, high in axes)

    def place(self, shared: Sequence[float], volume: VolumeInfo) -> tuple[tuple[int, ...], bool]:
        """First voxel of the cube at a shared coordinate in `volume`, and whether it was moved to lie inside."""
        origin = shared
        if self.mode == "body":
            first, behind = volume.body_box
            axes = zip(shared, self.size, first, behind, strict=True)
            # floor(x + 1/2): halves go one way, where `round` would send them to the even side
            origin = [math.floor(low + part * (high - low) - side / 2 + 0.5) for part, side, low, high in axes]
        room = [side - wanted for side, wanted in zip(volume.shape, self.size, strict=True)]
        inside = tuple(min(max(int(start), 0), free) for start, free in zip(origin, room, strict=True))
        return inside, inside != tuple(origin)


def choose_coordinates(volumes: Sequence[VolumeInfo], size: Sequence[int], mode: str = "auto") -> CoordinateSystem:
    """The coordinate system that fits the volumes, or an error that says why none does.

    - "voxel", the published rule: all shapes must be equal, and the spacings agree within 5 % along each axis (largest
      over smallest). That the volumes are aligned (the same field of view in each) cannot be seen from their geometry:
      it is the user's promise.
    - "body": any shapes. Spacings that differ by more than 5 % are accepted with a warning: a cube has the same number
      of voxels everywhere, so it then shows more millimetres of one patient than of another.
    - "auto": "voxel" if all shapes are equal, else "body"; never with spacings that differ by more than 5 %.

    Args:
        volumes: all that cubes are cut from.
        size: voxels of the cube (X, Y, Z).
        mode: one of the above.

    Raises:
        ValueError: another `mode`.
        VolumeError: two volumes that do not go together (both are named), or a volume without body box.
    """
    if mode not in MODES:
        raise ValueError(f"coordinates: must be one of {', '.join(MODES)}; found {mode!r}. Choose one of them.")
    odd = next((volume for volume in volumes if volume.shape != volumes[0].shape), None)
    if mode == "auto":
        chosen = "voxel" if odd is None else "body"
        logger.info("coordinates: %s, for the shapes are %s", chosen, "equal" if odd is None else "different")
    else:
        chosen = mode
    if chosen == "voxel" and odd is not None:
        raise VolumeError(
            'coordinates: "voxel" needs one shape, as the same voxel is another place in volumes of different shapes; '
            f'found {volumes[0].image} of {volumes[0].shape}, {odd.image} of {odd.shape}. Choose `coordinates="body"`.'
        )
    _compare_spacings(volumes, forgive=mode == "body")
    if chosen == "body":
        _check_boxes(volumes)
    return CoordinateSystem(chosen, tuple(int(side) for side in size))


def _compare_spacings(volumes: Sequence[VolumeInfo], forgive: bool) -> None:
    for axis in range(3):
        least = min(volumes, key=lambda volume: volume.spacing_mm[axis])
        most = max(volumes, key=lambda volume: volume.spacing_mm[axis])
        if not most.spacing_mm[axis] > _SPACING_RATIO * least.spacing_mm[axis]:
            continue
        found = (
            "voxels: must be of about one size, as cubes of as many voxels show more of one patient than of another; "
            f"found {least.image} of {least.spacing_mm} mm, {most.image} of {most.spacing_mm} mm"
        )
        if not forgive:
            raise VolumeError(
                f"{found}. Resample them (`spacing_mm` of the preprocessing), leave one out, or accept it by "
                '`coordinates="body"`.'
            )
        logger.warning("%s", found)
        return


def _check_boxes(volumes: Sequence[VolumeInfo]) -> None:
    for volume in volumes:
        if volume.body_box is None:
            raise VolumeError(
                f"{volume.image}: coordinates relative to the body need its body box; found none. Lower "
                '`body_threshold`, choose `coordinates="voxel"`, or leave the file out.'
            )
        first, behind = volume.body_box
        sides = zip(first, behind, volume.shape, strict=True)
        if not all(0 <= low < high <= side for low, high, side in sides):
            raise VolumeError(
                f"{volume.image}: its body box must lie in the volume of {volume.shape}; found {volume.body_box}. "
                "Compute the volume features anew."
            )


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
