"""Where the anatomy is evaluated: template coordinates of a subject's voxels, or of single points.

The template is one thorax in mm: x to the left, y to the back, z up, the origin in mid-chest. A subject is the
template scaled, turned and gently bent, so every organ is written once, in template coordinates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import numpy as np

from medgenesis.datasets.phantom.subject import Subject

FIELD_OF_VIEW_MM = (358.4, 358.4, 320.0)
"""Size of the reconstructed block, whatever the number of voxels in it."""

CENTRE_Z_MM = -6.0
"""Height of the block's middle in the template: the block reaches from the upper liver to the root of the neck."""


@dataclass(frozen=True)
class Warp:
    """Patient coordinates (mm about the middle of the block) to template coordinates, and back.

    A turn about the long axis, a scale an axis, and a smooth bend of x and y by a product of three waves.
    """

    subject: Subject

    def bend(self, axis: int, *position: np.ndarray) -> np.ndarray:
        """Displacement (mm) along template axis 0 or 1 at straight template coordinates."""
        s = self.subject
        waves = [
            np.sin(p * np.float32(2 * np.pi / length) + np.float32(phase))
            for p, length, phase in zip(position, s.bend_length_mm[axis], s.bend_phase[axis], strict=True)
        ]
        return np.float32(s.bend_mm[axis]) * waves[0] * waves[1] * waves[2]

    def to_template(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Template coordinates of patient coordinates that broadcast."""
        s = self.subject
        c, t = np.float32(np.cos(s.turn_rad)), np.float32(np.sin(s.turn_rad))
        x, y, z = x - np.float32(s.shift_mm[0]), y - np.float32(s.shift_mm[1]), z - np.float32(s.shift_mm[2])
        u, v = (c * x + t * y) / np.float32(s.scale[0]), (c * y - t * x) / np.float32(s.scale[1])
        z = (z + np.float32(CENTRE_Z_MM)) / np.float32(s.scale[2])
        return u + self.bend(0, u, v, z), v + self.bend(1, u, v, z), z

    def to_patient(self, points: np.ndarray, steps: int = 8) -> np.ndarray:
        """Patient coordinates of template points, (..., 3) -> (..., 3), mm; the bend is undone by fixed-point steps."""
        s = self.subject
        x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        u, v = x, y
        for _ in range(steps):
            u, v = x - self.bend(0, u, v, z), y - self.bend(1, u, v, z)
        u, v, z = u * s.scale[0], v * s.scale[1], z * s.scale[2] - CENTRE_Z_MM
        c, t = np.cos(s.turn_rad), np.sin(s.turn_rad)
        return np.stack([c * u - t * v + s.shift_mm[0], t * u + c * v + s.shift_mm[1], z + s.shift_mm[2]], -1)


@dataclass(frozen=True)
class Space:
    """Template coordinates (mm, float32) that broadcast to one shape; as such, a cloud of points."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return np.broadcast_shapes(self.x.shape, self.y.shape, self.z.shape)

    def window(self, low: Sequence[float], high: Sequence[float]) -> "tuple[EllipsisType, Space]":
        """The part that holds a template box (mm), as (index, part): all of it, points being few."""
        return ..., self


@dataclass(frozen=True)
class Grid(Space):
    """The voxels of one subject's volume, or a block of them; `middle` is the voxel at patient coordinate 0."""

    spacing_mm: np.ndarray
    middle: np.ndarray
    warp: Warp

    @classmethod
    def of(cls, subject: Subject, shape: Sequence[int]) -> "Grid":
        """The block of `shape` voxels that fills the field of view."""
        spacing = np.asarray(FIELD_OF_VIEW_MM) / np.asarray(shape)
        middle = (np.asarray(shape) - 1) / 2
        axes = [((np.arange(n) - m) * d).astype(np.float32) for n, m, d in zip(shape, middle, spacing, strict=True)]
        warp = Warp(subject)
        x, y, z = warp.to_template(axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :])
        return cls(x, y, z, spacing, middle, warp)

    @property
    def voxel_mm(self) -> float:
        """Mean edge of a voxel: the width over which a surface is shared by two tissues."""
        return float(self.spacing_mm.mean())

    def voxels(self, points: np.ndarray) -> np.ndarray:
        """Voxel coordinates in this block of template points, (..., 3) -> (..., 3)."""
        return self.warp.to_patient(points) / self.spacing_mm + self.middle

    def window(self, low: Sequence[float], high: Sequence[float]) -> "tuple[tuple[slice, ...], Grid]":
        """The smallest block of voxels that holds a template box (mm), as (slices, block); it may be empty."""
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), -1).reshape(-1, 3)
        voxels = self.warp.to_patient(corners, steps=0) / self.spacing_mm + self.middle
        slack = np.abs(self.warp.subject.bend_mm).max() / self.spacing_mm  # a bent box bulges between its corners
        start = np.clip(np.floor(voxels.min(0) - slack), 0, self.shape).astype(int)
        stop = np.clip(np.ceil(voxels.max(0) + slack) + 1, start, self.shape).astype(int)
        where = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        part = Grid(
            self.x[where], self.y[where], self.z[:, :, where[2]], self.spacing_mm, self.middle - start, self.warp
        )
        return where, part
