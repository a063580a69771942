"""The studies that a label app shows: links to image files, and DICOM series converted once.

What viewers save lies beside them, in the app's folder; the user's own folder is only read.
"""

import json
import logging
import re
import shutil
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom import Dataset

from medgenesis.data.label_pairs import is_named_as_label
from medgenesis.data.left_out import LeftOut
from medgenesis.data.scan import Scan
from medgenesis.data.scans import find_scans
from medgenesis.errors import VolumeError
from medgenesis.io.dicom_files import folder_files, read_header, series_of
from medgenesis.io.suffixes import split_suffix
from medgenesis.io.volume_reader import VolumeReader
from medgenesis.label_app.radiographs import convert_radiograph, instance_of, radiograph_name
from medgenesis.storage.atomic import make_folder, replacing, write_text
from medgenesis.storage.tables import write_table

FLAT = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
SHOWN = (".nii.gz", ".nii", ".nrrd", ".mha", *FLAT)  # as they are
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")
_SERIES = ("study", "SeriesNumber", "SeriesInstanceUID", "SOPInstanceUID")  # columns; the last of radiographs
SOURCES = ".sources.json"  # file that is shown -> the scan that it shows
FETCHING = ".fetching-"  # how folders begin into which a series comes from a DICOMweb server
NAMES = ".names"  # folder: what the values of each label mean

logger = logging.getLogger(__name__)


def is_address(studies: str | Path | None) -> bool:
    """Whether it is a DICOMweb server, not a folder."""
    return str(studies).startswith(("http://", "https://"))


def gather_studies(studies: str | Path, folder: str | Path) -> list[str]:
    """Show the scans below `studies` in `folder`, under names that viewers and addresses can take.

    A file is linked to (copied, where the system has no links). A DICOM series, and what has no place in one file
    (MetaImage headers, NumPy arrays), is converted to NIfTI, a DICOM radiograph to PNG, once: it is converted again
    when its files are newer. DICOM is called by a hash of its identifiers; `series.csv` in `folder` tells which
    SeriesInstanceUID it is, of a radiograph the SOPInstanceUID too. `studies.csv` lists the files whose studies are
    called otherwise.

    Args:
        studies: the user's folder, at any depth; `labels` in it (of another MONAI Label) is passed over.
        folder: receives them; what shows scans that are gone is removed.

    Returns:
        Their names.

    Raises:
        VolumeError: no folder, no scan in it, or another scan under the name of one that is labelled already.
    """
    studies, folder = Path(studies), Path(folder)
    if not studies.is_dir():
        raise VolumeError(f"--studies: must be a folder or a DICOMweb address; found {studies}. Give the folder.")
    left_out = LeftOut(studies)
    scans = [scan for scan in find_scans(studies, left_out, studies / "labels") if _is_study(scan, left_out)]
    make_folder(folder)
    before, sources, targets = _sources(folder), {}, []
    for scan, name in _named(scans):
        target, source = folder / _shown_as(scan, name), str(scan.files[0].absolute())
        _check_stays(name, target, source, before.get(target.name))
        sources[target.name] = source
        targets.append((scan, name, target))
    for name in sources:
        if before.get(name) != sources[name]:
            (folder / name).unlink(missing_ok=True)
    _note_sources(folder, before | sources)  # before anything is shown: what has no source, a viewer has sent
    shown, series = [], []
    for scan, name, target in targets:
        try:
            _show(scan, name, target, series)
            shown.append(name)
        except VolumeError as error:
            left_out.add(scan.files[0], str(error).partition(": ")[2])
            del sources[target.name]
    left_out.say()
    if not shown:
        why = "".join(f"; {line}" for line in left_out.lines())
        raise VolumeError(
            f"{studies}: must hold NIfTI, NRRD, MetaImage or image files, or DICOM series; found no study{why}. Give "
            "the folder that holds the images."
        )
    for name in before.keys() - sources.keys():
        (folder / name).unlink(missing_ok=True)
    absent = {name: source for name, source in before.items() if _drawn(folder, split_suffix(name)[0])}
    _note_sources(folder, absent | sources)  # a label stays its scan's
    named = {name: scan.files[0].relative_to(studies).as_posix() for scan, name, _ in targets if scan.is_file}
    _note_renamed({name: named[name] for name in shown if name in named}, folder / "studies.csv")
    if series:
        write_table(folder / "series.csv", series, _SERIES)
        logger.info(
            "%d DICOM series were converted for the viewers, as listed in %s", len(series), folder / "series.csv"
        )
    return sorted(shown)


def check_dimension(folder: Path, names: Iterable[str], dimension: int) -> None:
    """Refuse volumes alone for a network of flat images; name the flat images among volumes.

    Args:
        folder: as `gather_studies` fills it.
        names: of the studies.
        dimension: of what the network is shown, 2 or 3.

    Raises:
        VolumeError: no study is flat, and the network takes no other.
    """
    files = [folder / f"{name}{suffix}" for name in names for suffix in SHOWN if (folder / f"{name}{suffix}").is_file()]
    flat = [path.name for path in files if path.suffix.lower() in FLAT]
    if dimension == 3 and flat:
        logger.warning(
            "%d flat images among what is shown as volumes: %s. Serve them apart, by caid_cxr or adam_cxr without "
            "--overlay slabs",
            *(len(flat), ", ".join(flat)),
        )
    told = [one for one in map(_has_slices, files) if one is not None] if dimension == 2 and not flat else []
    if told and all(told):
        raise VolumeError(
            f"--studies: must hold radiographs or other flat images for this bundle; found volumes alone, "
            f"{files[0].name} for example. Show volumes slice by slice by --overlay slabs, or serve flat images."
        )


def _has_slices(path: Path) -> bool | None:
    """Whether an image has several; None where it cannot be read, which is said where it is opened."""
    reader = VolumeReader()
    try:
        _, meta = reader.get_data(reader.read(path))
    except VolumeError:
        return None
    return sum(int(side) > 1 for side in meta["spatial_shape"]) > 2


def _note_renamed(files: dict[str, str], table: Path) -> None:
    """List the studies that are called otherwise than their file, below the user's folder."""
    renamed = [(name, file) for name, file in sorted(files.items()) if name != split_suffix(file)[0]]
    if not renamed:
        table.unlink(missing_ok=True)
        return
    write_table(table, renamed, ("study", "file"))
    logger.info("%d studies are called otherwise than their files, as listed in %s", len(renamed), table)


def _is_study(scan: Scan, left_out: LeftOut) -> bool:
    if is_named_as_label(scan.name):
        left_out.add(scan.files[0], "named as a label map")
        return False
    return True


def _named(scans: list[Scan]) -> Iterator[tuple[Scan, str]]:
    """Scans with names of one part, all different; of DICOM, whose folders may be called by the patient, a hash."""
    taken: set[str] = set()
    for scan in scans:
        if scan.is_file:
            name = _NOT_IN_NAMES.sub("_", scan.name.replace("/", "__"))
        else:
            name = radiograph_name(scan.files[0]) if scan.files[0].is_file() else f"series_{_series(scan)}"
        number = 1
        while (name if number == 1 else f"{name}_{number}").casefold() in taken:
            number += 1
        name = name if number == 1 else f"{name}_{number}"
        taken.add(name.casefold())
        yield scan, name


def _series(scan: Scan) -> str:
    return scan.series or series_of(folder_files(scan.files[0]).images[0])


def _sources(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / SOURCES).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise VolumeError(
            f"{folder / SOURCES}: cannot be read ({error}). It says which scan each study shows: put it back, or "
            "remove it if no study is labelled."
        ) from error


def _note_sources(folder: Path, sources: dict[str, str]) -> None:
    write_text(folder / SOURCES, json.dumps(sources, indent=1))


def _check_stays(name: str, target: Path, source: str, before: str | None) -> None:
    """Refuse another scan under the name of one that is labelled, or that a viewer has sent."""
    if before is None and target.is_file() and not target.is_symlink():
        raise VolumeError(
            f"--studies: a name must be of one study; found {source} beside {target}, which is not known to show it: a "
            "viewer has sent that, or the list of an earlier start was lost. Rename one of them, or remove what is "
            "a copy of yours."
        )
    if before not in (None, source) and _drawn(target.parent, name):
        raise VolumeError(
            f"--studies: a labelled study must stay the scan that it was; found {source} under the name {name!r}, "
            f"which was {before}. Choose another --app for other studies, or put the scan back."
        )


def _drawn(folder: Path, name: str) -> bool:
    """Whether a study has a final label."""
    labels = folder / "labels" / "final"
    return labels.is_dir() and any(split_suffix(path.name)[0] == name for path in labels.iterdir())


def _is_radiograph(scan: Scan) -> bool:
    return not scan.is_file and scan.files[0].is_file()


def _shown_as(scan: Scan, name: str) -> str:
    """The name of the file that shows a scan."""
    return f"{name}{'.png' if _is_radiograph(scan) else scan.suffix if scan.suffix in SHOWN else '.nii.gz'}"


def _show(scan: Scan, name: str, target: Path, series: list) -> None:
    """Link to a scan, or convert it where it is not there yet or older than its files."""
    source, radiograph = scan.files[0], _is_radiograph(scan)
    if scan.suffix in SHOWN:
        _link(source.absolute(), target)
        return
    newest = source.stat().st_mtime
    if not scan.is_file:
        headers = [read_header(source)] if radiograph else folder_files(source).images
        headers = [header for header in headers if radiograph or scan.series in (None, series_of(header))]
        said = (_said(headers[0], tag) for tag in ("SeriesNumber", "SeriesInstanceUID"))
        series.append([name, *said, instance_of(source) if radiograph else ""])
        newest = max(Path(header.filename).stat().st_mtime for header in headers)
    if not target.is_file() or target.stat().st_mtime < newest:
        convert = convert_radiograph if radiograph else partial(convert_series, series=scan.series)
        convert(source, target)


def _said(header: Dataset, tag: str) -> str:
    """What a header says; "" where it is silent, or the element is empty."""
    value = header.get(tag)
    return "" if value is None else str(value)


def _link(source: Path, target: Path) -> None:
    if target.is_symlink() and target.readlink() == source:
        return
    target.unlink(missing_ok=True)
    try:
        target.symlink_to(source)
    except OSError:  # Windows without the right to
        shutil.copy2(source, target)


def convert_series(source: Path, target: Path, series: str | None = None) -> None:
    """Write a scan as NIfTI.

    Args:
        source: a folder of DICOM slices, or a file that has no place in one.
        target: the file to write.
        series: of the folder, where it holds several.

    Raises:
        VolumeError: it is no volume.
    """
    reader = VolumeReader(None, series)
    array, meta = reader.get_data(reader.read(source))
    whole = np.array_equal(array, np.rint(array)) and np.abs(array).max() < 2**15
    image = nib.Nifti1Image(array.astype(np.int16 if whole else np.float32), np.asarray(meta["affine"], dtype=float))
    with replacing(target) as beside:
        nib.save(image, beside)
