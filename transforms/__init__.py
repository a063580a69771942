"""Transforms that break or vary a volume so that a network can learn from it; at home in any MONAI pipeline.

Each has three variants: `RandX` for an array (C, *spatial), `RandXd` for a dictionary, `BatchedX` for (B, C, *spatial).
`RandSlab(d)`, `RandTwoViewsd` with its presets, `RandTwoCubesd` and `RandRegionPromptd`, which make samples of several
parts, have no batched form. `Deferred` leaves a dictionary transform to be done to whole batches, on their device.
"""

from medgenesis.transforms.anatomy_cell import BatchedAnatomyCell, RandAnatomyCell, RandAnatomyCelld
from medgenesis.transforms.blur import BatchedBlur, RandBlur, RandBlurd
from medgenesis.transforms.brightness_contrast import (
    BatchedBrightnessContrast,
    RandBrightnessContrast,
    RandBrightnessContrastd,
)
from medgenesis.transforms.caid_distortion import BatchedCAiDDistortion, RandCAiDDistortion, RandCAiDDistortiond
from medgenesis.transforms.deferred import Deferred
from medgenesis.transforms.genesis import BatchedGenesis, RandGenesis, RandGenesisd
from medgenesis.transforms.inplane_elastic import BatchedInPlaneElastic, RandInPlaneElastic, RandInPlaneElasticd
from medgenesis.transforms.local_shuffle import BatchedLocalShuffle, RandLocalShuffle, RandLocalShuffled
from medgenesis.transforms.mask_blocks import BatchedMaskBlocks, RandMaskBlocks, RandMaskBlocksd
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
from medgenesis.transforms.region_prompt import RandRegionPromptd
from medgenesis.transforms.resized_crop import BatchedResizedCrop, RandResizedCrop, RandResizedCropd
from medgenesis.transforms.slab import RandSlab, RandSlabd
from medgenesis.transforms.two_cubes import RandTwoCubesd
from medgenesis.transforms.two_views import RandTwoViewsd, adam_views, caid_views

__all__ = [
    "BatchedAnatomyCell",
    "BatchedBlur",
    "BatchedBrightnessContrast",
    "BatchedCAiDDistortion",
    "BatchedGenesis",
    "BatchedInPaint",
    "BatchedInPlaneElastic",
    "BatchedLocalShuffle",
    "BatchedMaskBlocks",
    "BatchedNonlinearIntensity",
    "BatchedOutPaint",
    "BatchedResizedCrop",
    "Deferred",
    "RandAnatomyCell",
    "RandAnatomyCelld",
    "RandBlur",
    "RandBlurd",
    "RandBrightnessContrast",
    "RandBrightnessContrastd",
    "RandCAiDDistortion",
    "RandCAiDDistortiond",
    "RandGenesis",
    "RandGenesisd",
    "RandInPaint",
    "RandInPaintd",
    "RandInPlaneElastic",
    "RandInPlaneElasticd",
    "RandLocalShuffle",
    "RandLocalShuffled",
    "RandMaskBlocks",
    "RandMaskBlocksd",
    "RandNonlinearIntensity",
    "RandNonlinearIntensityd",
    "RandOutPaint",
    "RandOutPaintd",
    "RandRegionPromptd",
    "RandResizedCrop",
    "RandResizedCropd",
    "RandSlab",
    "RandSlabd",
    "RandTwoCubesd",
    "RandTwoViewsd",
    "adam_views",
    "caid_views",
]
