"""How large networks and grids are: small, for a few hours of two cores, or full, for a GPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Size:
    """A size of the programme; its rows are in a folder of their own, for those of two sizes do not compare.

    Args:
        name: of the option `--size`.
        width: of `UNet3D`.
        backbone: of `UNet25D`.
        step: by which the network's grid is coarser than the one that is scored, 1 or 2.
        longer: how many times the steps of a pretext.
    """

    name: str
    width: int
    backbone: str
    step: int
    longer: int

    def network(self, dims: int) -> dict[str, Any]:
        """What a network of 2 or 3 dimensions is, as plain data."""
        return {"width": self.width} if dims == 3 else {"backbone": self.backbone}

    def crop(self, sides: Sequence[int]) -> tuple[int, ...]:
        """Voxels of a crop that has these sides on the small size's grid, the same part of the image."""
        return tuple(side * SMALL.step // self.step for side in sides)


SMALL = Size("small", 8, "resnet18_w8", 2, 1)
FULL = Size("full", 32, "resnet18", 1, 3)  # networks as published, images as they are scored
SIZES = {one.name: one for one in (SMALL, FULL)}
