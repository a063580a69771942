"""The scans that lie below a folder, of every kind that is read, and what is left out."""

from collections import defaultdict
from fnmatch import fnmatch
from pathlib import Path

from medgenesis.data.dicom_scans import dicom_scans
from medgenesis.data.file_tree import files_below
from medgenesis.data.left_out import LeftOut
from medgenesis.data.scan import Scan
from medgenesis.io.dicom_files import DICOM_SUFFIXES
from medgenesis.io.suffixes import split_suffix

_NO_IMAGES = {
    *("", ".txt", ".md", ".csv", ".tsv", ".json", ".yaml", ".yml", ".xml", ".html", ".pdf", ".xls", ".xlsx", ".log"),
    *(".bval", ".bvec", ".py", ".ipynb", ".db", ".ini", ".exe", ".inf", ".sh"),
}
_VOXELS = (".raw", ".zraw", ".gz", ".bin", ".dat")  # beside the header that names them


def find_scans(folder: Path, left_out: LeftOut, without: Path | None = None, only: str = "*") -> list[Scan]:
    """Every scan below a folder, in the order of the names.

    Args:
        folder: where to look.
        left_out: receives what is no scan.
        without: folder that is not entered (label maps within the folder of the images).
        only: shell pattern of the names of files and of folders of DICOM slices.
    """
    scans = []
    for here, files in files_below(folder, left_out, without).items():
        others = []
        for path in files:
            name, suffix = split_suffix(path.relative_to(folder).as_posix())
            if not suffix or suffix.lower() in DICOM_SUFFIXES:
                others.append(path)
            elif fnmatch(path.name, only):
                scans.append(Scan(name, (path,), suffix.lower()))
        if others:
            scans += _dicom(folder, here, others, left_out, only)
    return sorted(scans, key=lambda scan: (scan.name, scan.files))


def same_names(scans: list[Scan]) -> dict[str, list[Scan]]:
    """Scans that differ by their suffix alone (`xray.png` and `xray.jpg`), by name."""
    by_name: dict[str, list[Scan]] = defaultdict(list)
    for scan in scans:
        by_name[scan.name].append(scan)
    return {name: found for name, found in by_name.items() if len(found) > 1}


def _dicom(folder: Path, here: Path, files: list[Path], left_out: LeftOut, only: str) -> list[Scan]:
    found, foreign = dicom_scans(here, files, left_out)
    headers = {path.stem for path in here.iterdir() if path.name.lower().endswith((".mhd", ".nhdr", ".nrrd"))}
    for path in foreign:
        suffix = path.suffix.lower()
        voxels = suffix in _VOXELS and any(path.name.startswith(f"{header}.") for header in headers)
        if suffix not in _NO_IMAGES and not voxels:
            left_out.add(path, "of a kind that is not read")
    scans = []
    for scan in found:
        if fnmatch(scan.path.name, only):
            name = Path(scan.name).relative_to(folder).as_posix()
            name = folder.resolve().name if name == "." else name
            scans.append(Scan(name, (scan.path,), patient=scan.patient, series=scan.series))
    return scans
