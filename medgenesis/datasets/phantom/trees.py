"""Space-filling trees of tubes: the vessels and airways within a lung.

Reference: M. H. Tawhai, A. J. Pullan, P. J. Hunter: Generation of an anatomically based three-dimensional model of the
conducting airways, Annals of Biomedical Engineering 28 (2000) 793-802.
Notes: a set of points is halved across its longest axis, not by the plane of the parent branch; radii follow Murray's
law for equal flow to all points instead of measured ratios.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Branches:
    """Straight tubes: ends (N, 2, 3) in mm, radii (N,) in mm at the far ends and `near_mm` at the near ones."""

    ends: np.ndarray
    near_mm: np.ndarray
    far_mm: np.ndarray


def grow(root: np.ndarray, root_mm: float, targets: np.ndarray, fraction: float = 0.42) -> Branches:
    """Grow a tree from `root` until each target has a branch of its own.

    Every branch goes `fraction` of the way to the centroid of its targets; these are then halved across their longest
    axis, and each half is a child's.

    Args:
        root: (3,) mm.
        root_mm: radius at the root; a branch to n of N targets has radius root_mm (n / N)^(1/3).
        targets: (N, 3) mm.
        fraction: in (0, 1).
    """
    total = len(targets)
    member = np.zeros(total, dtype=np.int64)  # which open branch a target belongs to
    start, near = np.asarray(root, dtype=np.float64)[None], np.array([float(root_mm)])
    ends, nears, fars = [], [], []
    while len(start):
        count = np.bincount(member, minlength=len(start)).astype(np.float64)
        centroid = np.stack([np.bincount(member, c, len(start)) for c in targets.T], -1) / count[:, None]
        step = np.where(count == 1, 0.85, fraction)[:, None]
        end = start + step * (centroid - start)
        far = root_mm * (count / total) ** (1 / 3)
        ends.append(np.stack([start, end], 1))
        nears.append(near)
        fars.append(far)
        offset = targets - centroid[member]
        moments = np.stack(
            [np.bincount(member, offset[:, i] * offset[:, j], len(start)) for i in range(3) for j in range(3)], -1
        )
        longest = np.linalg.eigh(moments.reshape(-1, 3, 3))[1][..., -1]
        open_ = count[member] > 1
        child = 2 * member + ((offset * longest[member]).sum(-1) > 0)
        targets = targets[open_]
        parents, member = np.unique(child[open_], return_inverse=True)
        start, near = end[parents // 2], far[parents // 2]
    return Branches(np.concatenate(ends), np.concatenate(nears), np.concatenate(fars))
