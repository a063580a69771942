"""Volumes in: readers, the standard grid, intensity presets, random cubes, datalists."""

from medgenesis.data.checks import CheckVolumed
from medgenesis.data.cube_rules import CUBE_RULES, AnyRule, CubeRule, ForegroundRule, LungRule
from medgenesis.data.cubes import RandCubed, acceptance
from medgenesis.data.dicom import DicomReader
from medgenesis.data.intensity import ScaleIntensityPresetd
from medgenesis.data.labels import MergeLabelsd
from medgenesis.data.loading import LoadVolumed, VolumeReader
from medgenesis.data.preprocessing import Preprocessing, preprocessing
from medgenesis.data.readers import ArrayReader, GreyReader, SimpleITKReader

__all__ = [
    "AnyRule",
    "CUBE_RULES",
    "CubeRule",
    "ForegroundRule",
    "LungRule",
    "RandCubed",
    "acceptance",
    "ArrayReader",
    "CheckVolumed",
    "DicomReader",
    "GreyReader",
    "LoadVolumed",
    "MergeLabelsd",
    "Preprocessing",
    "ScaleIntensityPresetd",
    "SimpleITKReader",
    "VolumeReader",
    "preprocessing",
]
