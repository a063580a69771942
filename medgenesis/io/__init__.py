"""Files to arrays with their geometry, and back: NIfTI, MetaImage, NRRD, DICOM, NumPy arrays, 2D images."""

from medgenesis.io.dicom import DicomReader
from medgenesis.io.readers import ArrayReader, GreyReader, SimpleITKReader
from medgenesis.io.volume_reader import LoadVolumed, VolumeReader
from medgenesis.io.writers import WholeImageWriter, WholeNiftiWriter

__all__ = [
    "ArrayReader",
    "DicomReader",
    "GreyReader",
    "LoadVolumed",
    "SimpleITKReader",
    "VolumeReader",
    "WholeImageWriter",
    "WholeNiftiWriter",
]
