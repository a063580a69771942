"""What a file is to DICOM: an image with its header, something else, or one that cannot be read, and why."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pydicom
import pydicom.uid

from medgenesis.errors import VolumeError
from medgenesis.io.file_kind import kind_of_file

DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
_TAGS = (
    "SOPClassUID Modality ImageType SeriesInstanceUID SeriesNumber Rows Columns BitsAllocated PixelSpacing "
    "SliceThickness NumberOfFrames ImagePositionPatient ImageOrientationPatient SamplesPerPixel PatientID "
    "StudyInstanceUID PhotometricInterpretation"
).split()
_COUNTED = ["InstanceNumber", "ImagesInAcquisition"]  # hints alone: a damaged one is no reason to refuse a file
_RADIOGRAPHS = {"CR", "DX", "DR", "RG", "MG", "IO"}
_RADIOGRAPH_CLASSES = {
    f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1")
}
_NOT_SCANS = {"SEG", "SR", "PR", "KO", "REG", "RTDOSE", "RTSTRUCT", "RTPLAN"}
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # how a file begins that lacks the preamble, in little endian
_REMEDY = "Copy it again, or take it out of the folder."


class DicomFiles(NamedTuple):
    """The files of a folder (not below it), by what DICOM makes of them."""

    images: list[pydicom.Dataset]
    """Headers of the images, in the order of the files' names."""
    unreadable: dict[Path, str]
    """Files that are DICOM by their mark or name but cannot be read, and empty or zero-filled ones; and why."""
    others: list[Path]
    """DICOM files that hold no image: DICOMDIR, reports, segmentations."""
    foreign: list[Path]
    """Files of other kinds."""

    def unreadable_slices(self) -> dict[Path, str]:
        """Those of `unreadable` that are named like the images or end as DICOM files do: slices that are lost."""
        forms = {_form(str(header.filename)) for header in self.images}
        return {
            file: why
            for file, why in self.unreadable.items()
            if file.name.lower().endswith(DICOM_SUFFIXES) or _form(str(file)) in forms
        }


def sort_files(files: Iterable[Path]) -> DicomFiles:
    """Read the header of each file."""
    found = DicomFiles([], {}, [], [])
    for file in sorted(files):
        try:
            header = read_header(file)
        except VolumeError as error:
            reason = str(error).removeprefix(f"{file}: ").partition("; found ")
            found.unreadable[file] = (reason[2] or reason[0]).partition(f". {_REMEDY[:10]}")[0]
            continue
        if header is None:
            found.foreign.append(file)
        elif is_image(header):
            found.images.append(header)
        else:
            found.others.append(file)
    return found


def folder_files(folder: str | Path) -> DicomFiles:
    """As `sort_files`, of the plain files that lie in a folder; hidden ones are passed over."""
    return sort_files(file for file in Path(folder).iterdir() if file.is_file() and not file.name.startswith("."))


def is_dicom(path: str | Path) -> bool:
    """Whether a file is DICOM (`DICM` after 128 bytes, or a data set without that), or is named as one."""
    path = Path(path)
    with path.open("rb") as file:
        begin = file.read(132)
    return begin[128:] == b"DICM" or _lacks_preamble(begin) or path.name.lower().endswith(DICOM_SUFFIXES)


def read_header(path: Path) -> pydicom.Dataset | None:
    """The header of a DICOM file; None for a file of another kind.

    Files without the preamble (128 bytes and `DICM`) are read where they begin as a data set does.

    Raises:
        VolumeError: empty or zero-filled (of whatever name, for it may have been a slice), or DICOM that cannot be
            read.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(4096)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read ({error.strerror}). Check its permissions, or the disk.") from error
    if not any(begin):
        found = "zeros alone" if begin else "an empty file"
        raise VolumeError(f"{path}: must be a whole DICOM file; found {found}. {_REMEDY}")
    named = path.name.lower().endswith(DICOM_SUFFIXES)
    if begin[128:132] != b"DICM" and not _lacks_preamble(begin):
        if named:
            kind = kind_of_file(path, begin)
            if kind.what:
                raise VolumeError(
                    f"{path}: must be DICOM, as its name says; found {kind.what}. {kind.advice()}, or take it out of "
                    "the folder."
                )
            raise VolumeError(
                f"{path}: must be DICOM, as its name says; found no DICM mark and no data set. {_REMEDY} Where only "
                "the mark is lacking, DCMTK's dcmconv writes it."
            )
        return None
    try:
        with path.open("rb") as file:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*_TAGS, *_COUNTED], force=True)
            pixels_at = file.tell()
        header.filename = str(path)
        for tag in _TAGS:
            header.get(tag)  # pydicom converts values when they are asked for
    except Exception as error:  # pydicom has many for a damaged header
        reason = " ".join(str(error).split())[-200:] or type(error).__name__
        raise VolumeError(f"{path}: cannot be read as DICOM ({reason}). {_REMEDY}") from error
    if begin[128:132] != b"DICM" and not named and "SOPClassUID" not in header and "Rows" not in header:
        return None  # by chance begins like one
    _check_whole(path, header, path.stat().st_size - pixels_at)
    return header


def is_image(header: pydicom.Dataset) -> bool:
    """Whether it is of pixels that a scanner or a reconstruction made: no report, plan or segmentation."""
    return "Rows" in header and header.get("Modality") not in _NOT_SCANS


def is_one_grey_frame(header: pydicom.Dataset) -> bool:
    """Whether it is of one frame without colours, the only kind that is read; numbers of a palette are colours."""
    one = all(int(header.get(tag) or 1) == 1 for tag in ("NumberOfFrames", "SamplesPerPixel"))
    return one and header.get("PhotometricInterpretation") != "PALETTE COLOR"


def is_radiograph(header: pydicom.Dataset) -> bool:
    """Whether a DICOM image is a projection, by its SOP class, else by its modality; and without a place in space."""
    projection = header.get("SOPClassUID") in _RADIOGRAPH_CLASSES or header.get("Modality") in _RADIOGRAPHS
    return projection and header.get("ImagePositionPatient") is None


def is_localizer(header: pydicom.Dataset) -> bool:
    """Whether it is a scout view, by which a scan was planned."""
    kind = header.get("ImageType") or ()
    return bool({"LOCALIZER", "SCOUT"} & {str(word).upper() for word in ([kind] if isinstance(kind, str) else kind)})


def series_of(header: pydicom.Dataset) -> str:
    """A short name of the series of a patient: of the UID and the ID, which are the hospital's, only a hash."""
    identity = f"{header.get('SeriesInstanceUID', '')}\n{header.get('PatientID', '')}"
    return hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:12]


def transfer_syntax(dataset: pydicom.Dataset) -> pydicom.uid.UID:
    """That of the file; where it says none, as it was read."""
    said = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    before_3 = not hasattr(dataset, "original_encoding")  # pydicom 2.4
    implicit, little = (dataset.is_implicit_VR, dataset.is_little_endian) if before_3 else dataset.original_encoding
    guessed = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
    return said or (guessed if little is not False else pydicom.uid.ExplicitVRBigEndian)


def _check_whole(path: Path, header: pydicom.Dataset, left: int) -> None:
    if "Rows" not in header and _ends_early(header):
        raise VolumeError(
            f"{path}: must be a whole DICOM file; found a header that ends before the image size, truncated. {_REMEDY}"
        )
    syntax = transfer_syntax(header)
    if not is_image(header) or syntax.is_compressed or syntax.is_deflated or not is_one_grey_frame(header):
        return  # several frames or colours are refused as such, however long the file is
    rows, columns = (int(header.get(tag) or 1) for tag in ("Rows", "Columns"))
    needed = rows * columns * int(header.get("BitsAllocated") or 8) // 8
    if left < needed:
        raise VolumeError(
            f"{path}: must be a whole DICOM file; found {max(left, 0)} bytes behind the header where the image has "
            f"{needed}, truncated. {_REMEDY}"
        )


def _ends_early(header: pydicom.Dataset) -> bool:
    """Whether a header without image size is of an image, or ends before it says of what: only a DICOMDIR need not."""
    stored = getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID")
    kind = pydicom.uid.UID(header.get("SOPClassUID") or "")
    if not kind:
        return stored != pydicom.uid.MediaStorageDirectoryStorage
    standard = "1.2.840.10008."
    cut = kind.name == kind and (kind.startswith(standard) or standard.startswith(kind))  # no name of the standard
    return cut or "Image Storage" in kind.name


def _lacks_preamble(begin: bytes) -> bool:
    return len(begin) >= 16 and begin[:2] in _FIRST_GROUPS and begin[3:4] == b"\x00" and begin[128:132] != b"DICM"


def _form(name: str) -> str:
    """A file's name with its numbers (decimal ones and long hexadecimal ones) taken out."""
    return re.sub(r"[0-9a-f-]{8,}|\d+", "#", Path(name).name.lower())
