"""What any encoder must beat to have learnt anything: raw intensities, numbers that a human would take, a table."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from medgenesis.errors import DatalistError
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.geometry import Geometry, resized

_BINS = 32
_SIDE_2D, _SIDE_3D = 28, 12  # of the raw intensities: 784 and 1 728 numbers


def raw_intensities(batch: Tensor) -> Tensor:
    """The image itself, small, as a vector.

    Args:
        batch: (B, C, *spatial).

    Returns:
        (B, C * 784) of images, (B, C * 1728) of volumes.
    """
    side = _SIDE_2D if batch.ndim == 4 else _SIDE_3D
    return resized(batch.float(), (side,) * (batch.ndim - 2)).flatten(1)


def hand_made(batch: Tensor) -> Tensor:
    """A histogram, the sizes, the share of bright pixels, and where the brightness lies and how far it spreads.

    Args:
        batch: (B, C, *spatial) in [0, 1].

    Returns:
        (B, 32 + 1 + 3 dims): shares of the histogram; the share above the mean; logarithms of the sides; centre of the
        brightness and its spread, as shares of the sides.
    """
    grey = batch.float().mean(1)
    flat = grey.flatten(1)
    bins = (flat * _BINS).long().clamp(0, _BINS - 1)
    shares = F.one_hot(bins, _BINS).float().mean(1) if flat.shape[1] < 2**16 else _shares(bins)
    weights = flat / flat.sum(1, keepdim=True).clamp_min(1e-12)
    axes = torch.meshgrid(*(torch.linspace(0, 1, side) for side in grey.shape[1:]), indexing="ij")
    places = torch.stack([axis.flatten() for axis in axes])  # (dims, P)
    centre = weights @ places.T
    spread = (weights @ (places**2).T - centre**2).clamp_min(0).sqrt()
    bright = (flat > flat.mean(1, keepdim=True)).float().mean(1, keepdim=True)
    sides = torch.tensor(grey.shape[1:], dtype=torch.float32).log().expand(len(grey), -1)
    return torch.cat([shares, bright, sides, centre, spread], 1)


def _shares(bins: Tensor) -> Tensor:
    counts = torch.zeros(len(bins), _BINS).scatter_add_(1, bins, torch.ones_like(bins, dtype=torch.float32))
    return counts / bins.shape[1]


def numbers_of_record(record: Mapping[str, Any]) -> Tensor:
    """What the data set's own table says of an image (`numbers` of its record), of a nodule the diameter: (1, d).

    Raises:
        DatalistError: the record has none.
    """
    numbers = record.get("numbers")
    if not numbers:
        raise DatalistError(
            f"{record['image']}: its record must have `numbers` for the control `table`; found none. Leave the control "
            "out, or add them to the list."
        )
    return torch.tensor([[float(numbers[name]) for name in sorted(numbers)]])


def control(name: str, label: str | None = None) -> Encoder:
    """The control of that name: "pixels" (raw intensities), "handmade" or "table".

    Raises:
        ValueError: another name.
    """
    if name not in CONTROLS:
        raise ValueError(f"control: must be one of {', '.join(CONTROLS)}; found {name!r}. Choose one of them.")
    told = {"kind": "control", "control": name}
    of_record = numbers_of_record if name == "table" else None
    settings = {"geometry": Geometry("whole"), "of_record": of_record, "told": told}
    return Encoder(label or name, CONTROLS[name], None, None, (), **settings)


CONTROLS = {"pixels": raw_intensities, "handmade": hand_made, "table": lambda batch: batch}
