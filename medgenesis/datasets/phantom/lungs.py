"""The lungs: their shape, what grows in them, and fluid around them."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label

from medgenesis.datasets.phantom import organs, wall
from medgenesis.datasets.phantom.shapes import FAR_MM, smooth_union
from medgenesis.datasets.phantom.space import Space
from medgenesis.datasets.phantom.subject import Subject, stream
from medgenesis.datasets.phantom.trees import Branches, grow

ARTERY_ROOTS_MM = {-1: (-40.0, 5.0, 22.0), 1: (44.0, 14.0, 28.0)}
VEIN_ROOTS_MM = {-1: (-34.0, 10.0, -8.0), 1: (40.0, 12.0, -6.0)}
BRONCHUS_ROOTS_MM = {-1: (-36.0, 18.0, 20.0), 1: (44.0, 22.0, 18.0)}


@dataclass(frozen=True)
class Chest:
    """Distances (mm) that several organs share, at one space."""

    cage: np.ndarray
    diaphragm: np.ndarray
    heart: np.ndarray
    lungs: np.ndarray


def chest(space: Space, subject: Subject) -> Chest:
    """Evaluate the cage, the diaphragm, the heart and the room of the lungs."""
    cage = wall.cage(space)
    diaphragm = wall.diaphragm(space, subject)
    heart = np.full(space.shape, FAR_MM, dtype=np.float32)
    where, part = space.window((-90, -110, -140), (130, 70, 60))
    heart[where] = np.maximum(organs.heart(part, subject), np.maximum(cage[where] + 4, diaphragm[where] + 3))
    lungs = np.maximum(cage + np.float32(1.5), diaphragm + np.float32(1.5))
    where, part = space.window((-115, -140, -190), (115, 140, 140))
    middle = organs.mediastinum(part, subject, heart[where])
    floor = diaphragm[where] + np.float32(1.5)  # fat fills the corner between heart and diaphragm
    lungs[where] = np.maximum(lungs[where], -smooth_union(middle, -floor, 14))
    return Chest(cage, diaphragm, heart, lungs)


def fluid(space: Space, subject: Subject, side: int) -> np.ndarray:
    """Distance to the half space that pleural fluid fills on one side (-1 right, 1 left): behind and below."""
    depth = subject.effusion_mm[(side + 1) // 2]
    return 118 - depth - (np.float32(0.78) * space.y - np.float32(0.62) * (space.z + 45))


def inside(subject: Subject, rng: np.random.Generator, candidates: int, depth_mm: float) -> np.ndarray:
    """Random points in the lungs, at least `depth_mm` under their surface, whatever the grid: (N, 3) mm."""
    points = rng.uniform((-120, -95, -170), (120, 95, 135), (candidates, 3))
    space = Space(*points.astype(np.float32).T)
    field = chest(space, subject).lungs
    for side in (-1, 1):
        if subject.effusion_mm[(side + 1) // 2]:
            field = np.where(space.x * side > 0, np.maximum(field, -fluid(space, subject, side)), field)
    return points[field < -depth_mm]


def grow_trees(subject: Subject) -> tuple[list[Branches], list[Branches]]:
    """Vessels (arteries and veins) and airways of both lungs."""
    rng = stream(subject, "trees")
    points = inside(subject, rng, 13000, 3)
    vessels, airways = [], []
    for side in (-1, 1):
        mine = points[points[:, 0] * side > 0]
        arteries, veins = mine[: len(mine) // 2], mine[len(mine) // 2 :]
        vessels.append(grow(np.array(ARTERY_ROOTS_MM[side]), 8.5, arteries, 0.36))
        vessels.append(grow(np.array(VEIN_ROOTS_MM[side]), 7.5, veins, 0.36))
        airways.append(grow(np.array(BRONCHUS_ROOTS_MM[side]), 5.6, arteries[::8] + (0, 4, 0), 0.36))
    return vessels, airways


def fissures(space: Space) -> np.ndarray:
    """Distance (mm, unsigned) to the oblique fissures and the right lung's horizontal one."""
    oblique = np.abs(space.z - 1.05 * space.y + 8 + 0.0012 * space.x**2) * np.float32(0.69)
    flat = np.where((space.x < 0) & (space.z - 1.05 * space.y + 8 > 0), np.abs(space.z - 6 - 0.12 * space.y), FAR_MM)
    return np.minimum(oblique, flat).astype(np.float32)


def without_islands(lungs: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """Close the small pockets that organs cut off one lung: distances positive there, alike elsewhere.

    Args:
        lungs: distance to the lungs on a grid (mm).
        mine: the half of the grid that is this lung's.
    """
    pieces, count = label((lungs < 0) & mine)
    if count < 2:
        return lungs
    sizes = np.bincount(pieces.reshape(-1))
    sizes[0] = 0
    return np.where((pieces > 0) & (pieces != sizes.argmax()), FAR_MM, lungs).astype(np.float32)
