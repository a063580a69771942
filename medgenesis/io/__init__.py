"""Files to arrays with their geometry, and back: NIfTI, MetaImage, NRRD, DICOM, NumPy arrays, 2D images."""

from medgenesis.io.dicom import DicomReader
from medgenesis.io.images import GreyReader
from medgenesis.io.meta_nrrd import SimpleITKReader
from medgenesis.io.nifti import NiftiReader
from medgenesis.io.readers import ArrayReader
from medgenesis.io.volume_reader import LoadVolumed, VolumeReader
from medgenesis.io.writers import WholeImageWriter, WholeNiftiWriter

__all__ = [
    "ArrayReader",
    "DicomReader",
    "GreyReader",
    "LoadVolumed",
    "NiftiReader",
    "SimpleITKReader",
    "VolumeReader",
    "WholeImageWriter",
    "WholeNiftiWriter",
]
