"""Volumes in: readers, the standard grid, intensity presets, random cubes, datalists."""

from medgenesis.data.checks import CheckClassesd, CheckLabeld, CheckVolumed
from medgenesis.data.chestxray14 import chestxray14_datalist
from medgenesis.data.classes import check_classes, check_findings, judged_findings
from medgenesis.data.cube_rules import CUBE_RULES, AnyRule, CubeRule, ForegroundRule, LungRule
from medgenesis.data.cubes import RandCubed, acceptance
from medgenesis.data.datalists import (
    datalist_header,
    join_datalists,
    load_datalist,
    read_datalist,
    write_datalist,
)
from medgenesis.data.datasets import CubeDataset
from medgenesis.data.dicom import DicomReader
from medgenesis.data.disk_cache import MappedDataset
from medgenesis.data.folders import make_datalist
from medgenesis.data.intensity import ScaleIntensityPresetd
from medgenesis.data.labels import MergeLabelsd
from medgenesis.data.landmarks import landmarks_of, read_landmarks, write_landmarks
from medgenesis.data.loading import LoadVolumed, VolumeReader
from medgenesis.data.preprocessing import Preprocessing, preprocessing
from medgenesis.data.readers import ArrayReader, GreyReader, SimpleITKReader
from medgenesis.data.sampler import SampleKey, SeededSampler
from medgenesis.data.screening import load_usable, screen_volumes
from medgenesis.data.splits import check_disjoint
from medgenesis.data.writers import WholeNiftiWriter, WholePictureWriter

__all__ = [
    "CUBE_RULES",
    "AnyRule",
    "ArrayReader",
    "CheckClassesd",
    "CheckLabeld",
    "CheckVolumed",
    "CubeDataset",
    "CubeRule",
    "DicomReader",
    "ForegroundRule",
    "GreyReader",
    "LoadVolumed",
    "LungRule",
    "MappedDataset",
    "MergeLabelsd",
    "Preprocessing",
    "RandCubed",
    "SampleKey",
    "ScaleIntensityPresetd",
    "SeededSampler",
    "SimpleITKReader",
    "VolumeReader",
    "WholeNiftiWriter",
    "WholePictureWriter",
    "acceptance",
    "check_classes",
    "check_disjoint",
    "check_findings",
    "chestxray14_datalist",
    "datalist_header",
    "join_datalists",
    "judged_findings",
    "landmarks_of",
    "load_datalist",
    "load_usable",
    "make_datalist",
    "preprocessing",
    "read_datalist",
    "read_landmarks",
    "screen_volumes",
    "write_datalist",
    "write_landmarks",
]
