"""Drawn parameters as values: of a batch of cubes, of some of them, joined from single ones, ready for logs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from medgenesis.errors import VolumeError

Generator = np.random.RandomState | np.random.Generator


@dataclass(frozen=True, eq=False)
class Params:
    """What was drawn for a batch. Arrays have the batch as first axis; everything else is shared by its cubes."""

    def select(self, cubes: np.ndarray) -> "Params":
        """The parameters of some cubes of the batch (indices)."""
        drawn = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen = {k: v[cubes] for k, v in drawn.items() if isinstance(v, np.ndarray)}
        chosen |= {k: v.select(cubes) for k, v in drawn.items() if isinstance(v, Params)}
        return replace(self, **chosen)

    def record(self) -> dict[str, Any]:
        """The same as plain numbers and lists, ready for JSON and logs."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _plain(value: Any) -> Any:
    if isinstance(value, Params):
        return value.record()
    return value.tolist() if isinstance(value, np.ndarray) else value


def joined(drawn: Sequence[Params | None]) -> Params | None:
    """Parameters drawn for single cubes as those of a batch; where a cube has none, those of another fill its place."""
    first = next((params for params in drawn if params is not None), None)
    if first is None:
        return None
    rows, parts = [params or first for params in drawn], {}
    for field in fields(first):
        values = [getattr(params, field.name) for params in rows]
        if any(isinstance(value, Params) for value in values):
            parts[field.name] = joined(values)
        elif isinstance(values[0], np.ndarray):
            parts[field.name] = np.concatenate(values)
    return replace(first, **parts)


def draw_seeds(rng: Generator, batch: int) -> np.ndarray:
    """One 32-bit seed a cube, int64 (B,)."""
    return (rng.random(batch) * 2**32).astype(np.int64)


def check_shape(params: Params, volume: torch.Tensor, batch: int, spatial_shape: tuple[int, ...]) -> None:
    """Refuse to replay parameters on a volume of another shape than they were drawn for."""
    if (volume.shape[0], *volume.shape[2:]) != (batch, *spatial_shape):
        raise VolumeError(
            f"params: must be drawn for the volume's shape {tuple(volume.shape)}; found {type(params).__name__} of "
            f"{batch} cubes of {tuple(spatial_shape)} voxels. Draw again, or give all keys the same spatial shape."
        )
