"""The settings of discovery: their defaults, and what they must obey."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medgenesis.data.crop_criteria import CropCriterion, get_criterion
from medgenesis.mining.coordinates import MODES
from medgenesis.mining.neighbours import check_index
from medgenesis.mining.whole import three_sides

_LEAST = {"classes": 1, "train_patients": 1, "validation_patients": 0, "min_distance": 0, "tries": 1, "seed": 0}


@dataclass(frozen=True)
class DiscoverySettings:
    """What `discover` is told.

    Args:
        classes: patterns to find; each needs a training patient of its own.
        train_patients: cubes of a class for training.
        validation_patients: cubes of a class for validation; 0 for none.
        cube_size: voxels (X, Y, Z).
        criterion: "lung", "foreground", "any", or a `CropCriterion`: which cubes of a reference are worth a class.
        min_distance: voxels, Euclidean. Where coordinates are relative to the body, earlier ones are first mapped into
            the new reference, and the distance is measured there.
        tries: positions drawn in one reference, and draws for one rescaled cube, at most.
        multi_resolution: also cut resolutions 2 and 3 of each training cube, see `draw_rescaled`; what fits into a
            volume nowhere is left out.
        coordinates: "voxel", "body" or "auto", see `choose_coordinates`.
        seed: 0 to 2^32 - 1. Class c is a function of the seed, c and the references of the earlier classes.
        index: "exact" or "faiss", see `nearest`.

    Raises:
        ValueError: a setting out of its range.
        ImportError: `index="faiss"` without the package.
    """

    classes: int = 44
    train_patients: int = 200
    validation_patients: int = 30
    cube_size: Sequence[int] = (64, 64, 32)
    criterion: str | CropCriterion = "lung"
    min_distance: float = 5
    tries: int = 200
    multi_resolution: bool = False
    coordinates: str = "auto"
    seed: int = 0
    index: str = "exact"

    def __post_init__(self) -> None:
        object.__setattr__(self, "cube_size", three_sides(self.cube_size, "cube_size"))
        for name, least in _LEAST.items():
            if not getattr(self, name) >= least:
                raise ValueError(f"`{name}` must be at least {least}, got {getattr(self, name)}")
        if self.seed >= 2**32:
            raise ValueError(f"`seed` must be below 2^32, got {self.seed}")
        if self.coordinates not in MODES:
            raise ValueError(f"`coordinates` must be one of {', '.join(MODES)}, got {self.coordinates!r}")
        get_criterion(self.criterion)
        check_index(self.index)

    def plain(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return {
            "classes": int(self.classes),
            "train_patients": int(self.train_patients),
            "validation_patients": int(self.validation_patients),
            "cube_size": list(self.cube_size),
            "rule": self.criterion if isinstance(self.criterion, str) else repr(self.criterion),
            "min_distance": float(self.min_distance),
            "tries": int(self.tries),
            "multi_resolution": bool(self.multi_resolution),
            "coordinates": self.coordinates,
            "seed": int(self.seed),
            "index": self.index,
        }
