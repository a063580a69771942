"""What arms have in common, of their rows: paired by draw, seed and patient."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def scores_of(rows: list[Mapping[str, Any]]) -> dict[tuple[int, int], dict[int, float]]:
    """Mean Dice over structures, of rows: (draw, seed) -> patient -> Dice; absent structures are left out."""
    found: dict[tuple[int, int], dict[int, list[float]]] = {}
    for row in rows:
        if row["dice"] != "":
            cell = found.setdefault((int(row["draw"]), int(row["seed"])), {})
            cell.setdefault(int(row["patient"]), []).append(float(row["dice"]))
    return {cell: {one: float(np.mean(some)) for one, some in own.items()} for cell, own in found.items()}


def grids_of(*arms: Mapping[tuple[int, int], Mapping[int, float]]) -> list[np.ndarray]:
    """What arms have in common, (draws, patients) of each arm: paired by draw, seed and patient."""
    cells = sorted(set.intersection(*(set(arm) for arm in arms)))
    if not cells:
        return [np.empty((0, 0)) for _ in arms]
    patients = sorted(set.intersection(*(set(arm[cell]) for arm in arms for cell in cells)))
    return [np.array([[arm[cell][one] for one in patients] for cell in cells]) for arm in arms]
