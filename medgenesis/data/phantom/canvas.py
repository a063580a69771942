"""A volume that tissues are painted on, one over the other, sharing the voxels at their surfaces."""

from collections.abc import Iterable
from types import EllipsisType

import numpy as np

from medgenesis.data.phantom.labels import VALUES
from medgenesis.data.phantom.space import Grid
from medgenesis.data.phantom.trees import Branches

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

        A tube's disc of radius r is blurred to a Gaussian of the same area with variance r^2/2 + (0.4 voxel)^2.

        Args:
            branches: tubes in template mm.
            grow_mm: added to all radii, for walls say.
        """
        share = np.zeros(self.hu.size, dtype=np.float32)
        for points, radius in self._beads(branches, grow_mm):
            half = int(np.ceil(1.6 * radius.max() / self.grid.spacing_mm.min() + 0.6))
            around = np.stack(np.meshgrid(*[np.arange(-half, half + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
            voxel = np.rint(points).astype(np.int32)
            variance = (radius**2 / 2 + (0.4 * self.grid.voxel_mm) ** 2).astype(np.float32)
            height = (radius**2 / 2).astype(np.float32) / variance
            offset = (voxel - points).astype(np.float32)
            for step in around:
                index = voxel + step
                off = (offset + step.astype(np.float32)) * self.grid.spacing_mm.astype(np.float32)
                value = height * np.exp(-(off * off).sum(1) / (2 * variance))
                ok = ((index >= 0) & (index < self.hu.shape)).all(1) & (value > 0.02)
                flat = np.ravel_multi_index(tuple(index[ok].T), self.hu.shape)
                np.maximum.at(share, flat, value[ok])
        return share.reshape(self.hu.shape)

    def _beads(self, branches: Iterable[Branches], grow_mm: float) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Points along all tubes, half a voxel apart, as (voxel coordinates, radii in mm), by size class."""
        for tree in branches:
            ends = self.grid.voxels(tree.ends)
            count = np.ceil(2 * np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)).astype(int) + 1
            which = np.repeat(np.arange(len(count)), count)
            place = (np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)) / count[which]
            points = ends[which, 0] + place[:, None] * (ends[which, 1] - ends[which, 0])
            radius = tree.near_mm[which] + place * (tree.far_mm[which] - tree.near_mm[which]) + grow_mm
            size = np.ceil(radius / self.grid.voxel_mm).astype(int)
            for value in np.unique(size):
                yield points[size == value], radius[size == value]
