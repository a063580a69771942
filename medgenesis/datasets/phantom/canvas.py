"""A volume that tissues are painted on, one over the other, sharing the voxels at their surfaces."""

from collections.abc import Iterable
from types import EllipsisType

import numpy as np

from medgenesis.datasets.phantom.labels import VALUES
from medgenesis.datasets.phantom.space import Grid
from medgenesis.datasets.phantom.trees import Branches

Where = tuple[slice, ...] | EllipsisType


class Canvas:
    """HU and labels of one grid; both start as air.

    Args:
        grid: the voxels; `hu` (float32) and `label` (uint8) have its shape.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.hu = np.full(grid.shape, -1000, dtype=np.float32)
        self.label = np.zeros(grid.shape, dtype=np.uint8)

    def share(self, distance: np.ndarray) -> np.ndarray:
        """Fraction of a voxel that lies within a surface at this distance (mm) from its centre."""
        return np.clip(np.float32(0.5) - distance * np.float32(1 / self.grid.voxel_mm), 0, 1)

    def paint(self, where: Where, distance: np.ndarray, hu: float | np.ndarray, name: str | None = None) -> None:
        """Paint a tissue of density `hu` where `distance` is negative, and label it where it has a name."""
        self.blend(where, self.share(distance), hu)
        if name is not None:
            self.label[where][distance < 0] = VALUES[name]

    def blend(self, where: Where, share: np.ndarray, hu: float | np.ndarray) -> None:
        """Mix `hu` in by a fraction in [0, 1]."""
        view = self.hu[where]
        view += share * (hu - view)

    def paint_flat(self, index: np.ndarray, distance: np.ndarray, hu: float, name: str | None = None) -> None:
        """`paint` for voxels named by flat indices, each once."""
        self.hu.reshape(-1)[index] += self.share(distance) * (np.float32(hu) - self.hu.reshape(-1)[index])
        if name is not None:
            self.label.reshape(-1)[index[distance < 0]] = VALUES[name]

    def thin_tubes(self, branches: Iterable[Branches], grow_mm: float = 0.0) -> np.ndarray:
        """Fraction of each voxel within thin tubes, right in the mean also where they are thinner than a voxel.

        A tube is a string of balls. One thinner than a voxel h is drawn 0.56 h thick, and as much fainter as keeps the
        area of its disc.

        Args:
            branches: tubes in template mm.
            grow_mm: added to all radii (walls).
        """
        h = self.grid.voxel_mm
        shape = np.asarray(self.hu.shape)
        reach = 1 + int(np.ceil((8 + grow_mm) / self.grid.spacing_mm.min()))
        padded = shape + 2 * reach
        share = np.zeros(int(padded.prod()), dtype=np.float32)
        for points, radius in self._beads(branches, grow_mm):
            drawn = np.maximum(radius, 0.56 * h)
            height = np.minimum(radius**2 / (drawn**2 + h * h / 12), 1).astype(np.float32)
            half = int(np.ceil((drawn.max() + 0.5 * h) / self.grid.spacing_mm.min() - 0.5))
            voxel = np.rint(points).astype(np.int64)
            around = np.arange(-half, half + 1)
            off = ((voxel - points)[..., None] + around) * self.grid.spacing_mm[:, None]
            square = (off**2).astype(np.float32)
            distance = np.sqrt(square[:, 0, :, None, None] + square[:, 1, None, :, None] + square[:, 2, None, None, :])
            edge = (drawn / h + 0.5).astype(np.float32)[:, None, None, None]
            value = height[:, None, None, None] * np.clip(edge - distance * np.float32(1 / h), 0, 1)
            cube = np.stack(np.meshgrid(around, around, around, indexing="ij"), -1).reshape(-1, 3)
            index = np.ravel_multi_index((voxel + reach).T, padded)[:, None] + cube @ (
                padded[1] * padded[2],
                padded[2],
                1,
            )
            np.maximum.at(share, index.ravel(), value.ravel())
        return share.reshape(padded)[(slice(reach, -reach),) * 3]

    def _beads(self, branches: Iterable[Branches], grow_mm: float) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Points half a voxel apart along all tubes, as (voxel coordinates, radii in mm), by class of size."""
        points, radii = [], []
        for tree in branches:
            ends = self.grid.voxels(tree.ends)
            count = np.ceil(2 * np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)).astype(int) + 1
            which = np.repeat(np.arange(len(count)), count)
            place = (np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)) / count[which]
            points.append(ends[which, 0] + place[:, None] * (ends[which, 1] - ends[which, 0]))
            radii.append(tree.near_mm[which] + place * (tree.far_mm[which] - tree.near_mm[which]) + grow_mm)
        point, radius = np.concatenate(points), np.concatenate(radii)
        inside = ((point > -0.5) & (point < np.asarray(self.hu.shape) - 0.5)).all(1)
        size = np.ceil(radius / (0.5 * self.grid.voxel_mm)).astype(int).clip(1)
        for value in np.unique(size[inside]):
            chosen = inside & (size == value)
            yield point[chosen], radius[chosen]
