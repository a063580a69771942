"""Transforms that break a volume so that a network can learn to repair it; at home in any MONAI pipeline."""

from medgenesis.transforms.genesis import RandGenesis, RandGenesisd
from medgenesis.transforms.inpainting import RandInPaint, RandInPaintd
from medgenesis.transforms.local_shuffle import RandLocalShuffle, RandLocalShuffled
from medgenesis.transforms.nonlinear_intensity import RandNonlinearIntensity, RandNonlinearIntensityd
from medgenesis.transforms.outpainting import RandOutPaint, RandOutPaintd

__all__ = [
    "RandGenesis",
    "RandGenesisd",
    "RandInPaint",
    "RandInPaintd",
    "RandLocalShuffle",
    "RandLocalShuffled",
    "RandNonlinearIntensity",
    "RandNonlinearIntensityd",
    "RandOutPaint",
    "RandOutPaintd",
]
