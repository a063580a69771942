"""The suffixes of the files that are read, and a file's name without its own."""

from medgenesis.io.dicom_files import DICOM_SUFFIXES
from medgenesis.io.images import GreyReader
from medgenesis.io.meta_nrrd import SimpleITKReader
from medgenesis.io.nifti import NiftiReader
from medgenesis.io.preprocessed import PreprocessedReader
from medgenesis.io.readers import ArrayReader

SUFFIXES = (
    *NiftiReader.suffixes,
    *SimpleITKReader.suffixes,
    *ArrayReader.suffixes,
    *PreprocessedReader.suffixes,
    *GreyReader.suffixes,
    *DICOM_SUFFIXES,
)


def split_suffix(name: str) -> tuple[str, str]:
    """A file's name without its suffix, and the suffix as it stands there: `scan.v1` and `.nii.gz`.

    The suffix is the longest of `SUFFIXES` that the name ends in, in any case of letters; "" where it is none of them.
    """
    suffix = max((one for one in SUFFIXES if name.lower().endswith(one)), key=len, default="")
    end = len(name) - len(suffix)
    return name[:end], name[end:]
