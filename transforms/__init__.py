"""Transforms that break a volume so that a network can learn to repair it; at home in any MONAI pipeline.

Each has three faces: `RandX` for an array (C, *spatial), `RandXd` for a dictionary, `BatchedX` for (B, C, *spatial).
"""

from medgenesis.transforms.genesis import BatchedGenesis, RandGenesis, RandGenesisd
from medgenesis.transforms.inplane_elastic import BatchedInPlaneElastic, RandInPlaneElastic, RandInPlaneElasticd
from medgenesis.transforms.local_shuffle import BatchedLocalShuffle, RandLocalShuffle, RandLocalShuffled
from medgenesis.transforms.nonlinear_intensity import (
    BatchedNonlinearIntensity,
    RandNonlinearIntensity,
    RandNonlinearIntensityd,
)
from medgenesis.transforms.painting import (
    BatchedInPaint,
    BatchedOutPaint,
    RandInPaint,
    RandInPaintd,
    RandOutPaint,
    RandOutPaintd,
)

__all__ = [
    "BatchedGenesis",
    "BatchedInPaint",
    "BatchedInPlaneElastic",
    "BatchedLocalShuffle",
    "BatchedNonlinearIntensity",
    "BatchedOutPaint",
    "RandGenesis",
    "RandGenesisd",
    "RandInPaint",
    "RandInPaintd",
    "RandInPlaneElastic",
    "RandInPlaneElasticd",
    "RandLocalShuffle",
    "RandLocalShuffled",
    "RandNonlinearIntensity",
    "RandNonlinearIntensityd",
    "RandOutPaint",
    "RandOutPaintd",
]
