"""Data sets of small cubes."""

from medgenesis.data import PatchDataset, RandAcceptedCropd, preprocessing
from medgenesis.transforms import RandGenesisd


def cubes(records, cache="none", transform=True, **settings):
    settings = {"patches_per_image": 4, "seed": 11, **settings}
    corrupt = RandGenesisd(rates={"flip": 0.0}) if transform else None
    crop = RandAcceptedCropd("image", (8, 9, 6), criterion="any")
    return PatchDataset(records, preprocessing(intensity="unit"), crop, corrupt, cache=cache, **settings)
