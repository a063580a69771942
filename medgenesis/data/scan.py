"""One scan of a folder, before it becomes a record."""

from pathlib import Path
from typing import NamedTuple

from medgenesis.data.patients import PatientKey


class Scan(NamedTuple):
    """What will be one record, or the rows of a stack."""

    name: str
    """Path below the folder of the images, without suffix (and channel)."""
    files: tuple[Path, ...]
    """The file, the folder of a DICOM series, or one file for each channel."""
    suffix: str = ""
    """In lower case; empty for DICOM, and for several files."""
    patient: PatientKey | None = None
    """Where the file itself says whose it is (DICOM)."""
    series: str | None = None
    """One DICOM series of several in the folder."""
    case: str | None = None
    """`name` without the channel, where channels stay apart."""

    @property
    def is_file(self) -> bool:
        """Whether it is one file that is no DICOM."""
        return bool(self.suffix)

    @property
    def image(self) -> str | list[str]:
        """As a record has it."""
        return str(self.files[0]) if len(self.files) == 1 else [str(file) for file in self.files]
