"""A folder of phantoms: volumes, label maps, X-rays with labels and landmarks, DICOM on request, and the datalist."""

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
from PIL import Image

from medgenesis import __version__
from medgenesis.data.landmarks import write_landmarks
from medgenesis.data.splits import SECTIONS
from medgenesis.datasets.phantom.build import SHAPE, Phantom, checked_shape, make_phantom
from medgenesis.datasets.phantom.dicom import write_series
from medgenesis.datasets.phantom.labels import LABELS
from medgenesis.datasets.phantom.landmarks import xray_landmarks
from medgenesis.datasets.phantom.subject import draw_subject, stream
from medgenesis.datasets.phantom.xray import FINDINGS, ORGANS, expose, project_organs, project_xray, xray_labels
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.progress import track
from medgenesis.storage.atomic import replacing, write_text
from medgenesis.storage.fingerprints import changes
from medgenesis.storage.steps import Step, Steps
from medgenesis.storage.tables import write_table

logger = logging.getLogger(__name__)

_PARTS = {"images": ".nii.gz", "labels": ".nii.gz", "xrays": ".png", "xray_masks": ".png"}
_LISTS = ("xray_labels.csv", "xray_landmarks.csv", "xray_datalist.json", "datalist.json")
_EARLIER_RECORD = "phantom.json"  # of version 0.1


def write_phantoms(
    folder: str | Path,
    subjects: int,
    seed: int,
    *,
    shape: Sequence[int] = SHAPE,
    dicom: bool = False,
    split: Sequence[float] = (0.6, 0.2, 0.2),
    overwrite: bool = False,
) -> Path:
    """Write a data set of phantoms.

    The folder then holds images/ and labels/ (NIfTI), xrays/ (8-bit PNG) and xray_masks/ (their label maps), with
    `dicom` a series a subject in dicom/; the lists datalist.json of the volumes and xray_datalist.json of the X-rays
    (Decathlon style), xray_labels.csv, xray_landmarks.csv, and steps.json (the settings). Where the same settings have
    written them all, nothing is written again.

    Args:
        folder: new, empty, or written before with the same settings.
        subjects: how many, at least 1.
        seed: names the population; subject k is the same however many there are.
        shape: voxels along Left, Posterior, Superior.
        dicom: also write DICOM series.
        split: shares of training, validation and test; their sum is 1.
        overwrite: write also where the folder holds something else; earlier phantoms in it are removed.

    Returns:
        Path of datalist.json.

    Raises:
        VolumeError: shape, subjects or seed are out of range, or the folder holds something else.
        DatalistError: split is not three shares that make one.
    """
    folder = Path(folder)
    sections = split_subjects(subjects, split)
    draw_subject(seed, 0)  # refuses a bad seed before anything is written, as the next line does a bad shape
    settings = {"subjects": subjects, "seed": seed, "shape": list(checked_shape(shape)), "dicom": bool(dicom)}
    settings |= {"split": list(split), "medgenesis": __version__}  # another version may draw other thoraces
    steps = Steps(folder, {"phantoms": Step(_files(subjects, dicom))})
    _check_folder(steps, settings, overwrite)
    if steps.done("phantoms", settings):
        logger.info("%d phantoms: are there, %s", subjects, folder)
        return folder / "datalist.json"
    with steps.doing("phantoms", settings):
        _write_all(folder, seed, shape, dicom, sections)
    return folder / "datalist.json"


def _write_all(folder: Path, seed: int, shape: Sequence[int], dicom: bool, sections: list[str]) -> None:
    for name in (*_PARTS, *(["dicom"] if dicom else [])):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows, landmarks = [], {}
    for k in track(range(len(sections)), "phantoms"):
        phantom = make_phantom(seed, k, shape=shape)
        _write_subject(folder, k, phantom, f"medgenesis {seed} {k}" if dicom else None)
        rows.append({"image": f"xrays/{_name(k)}.png", "patient": _patient(k), "section": sections[k]})
        rows[-1].update(xray_labels(phantom))
        landmarks[rows[-1]["image"]] = xray_landmarks(phantom)
    write_table(folder / "xray_labels.csv", rows)
    write_landmarks(folder / "xray_landmarks.csv", landmarks)
    write_text(folder / "xray_datalist.json", json.dumps(_xray_datalist(rows), indent=2) + "\n")
    write_text(folder / "datalist.json", json.dumps(_datalist(sections), indent=2) + "\n")


def _files(subjects: int, dicom: bool) -> tuple[str, ...]:
    """All that is there when the phantoms are written; the list of the volumes first, for messages."""
    names = [f"{part}/{_name(k)}{suffix}" for k in range(subjects) for part, suffix in _PARTS.items()]
    series = [f"dicom/{_name(k)}" for k in range(subjects) if dicom]
    return (*reversed(_LISTS), *names, *series)


def split_subjects(subjects: int, split: Sequence[float]) -> list[str]:
    """Section of each subject: validation and test get their rounded shares, at least one each where three allow it."""
    if subjects < 1:
        raise VolumeError(f"subjects: must be at least 1; found {subjects}. Give a larger number.")
    if len(split) != 3 or min(split) < 0 or abs(sum(split) - 1) > 1e-6 or split[0] == 0:
        raise DatalistError(
            f"split: must be three shares that make 1, the first above 0; found {tuple(split)}. Give 1 0 0 for example."
        )
    least = 1 if subjects >= 3 else 0
    validation, test = (max(least, round(subjects * share)) if share else 0 for share in split[1:])
    training = max(subjects - validation - test, 1)
    return ([SECTIONS[0]] * training + [SECTIONS[1]] * validation + [SECTIONS[2]] * test)[:subjects]


def _name(k: int) -> str:
    return f"phantom_{k:03d}"


def _patient(k: int) -> str:
    return f"PHANTOM-{k:03d}"


def _write_subject(folder: Path, k: int, phantom: Phantom, uid_entropy: str | None) -> None:
    for part, array in (("images", phantom.image), ("labels", phantom.label)):
        image = nib.Nifti1Image(array, phantom.affine)
        image.header.set_xyzt_units("mm")
        with replacing(folder / part / f"{_name(k)}.nii.gz") as path:
            nib.save(image, path)
    spacing = phantom.spacing_mm
    xray = expose(project_xray(phantom), (spacing[2], spacing[0]), stream(phantom.subject, "xray"))
    with replacing(folder / "xrays" / f"{_name(k)}.png") as path:
        Image.fromarray(xray).save(path)
    with replacing(folder / "xray_masks" / f"{_name(k)}.png") as path:
        Image.fromarray(project_organs(phantom)).save(path)
    if uid_entropy is not None:
        _replace_series(folder / "dicom" / _name(k), phantom, _patient(k), uid_entropy)


def _replace_series(folder: Path, phantom: Phantom, patient: str, uid_entropy: str) -> None:
    """What `replacing` does for a file: the folder is written beside, then renamed."""
    partial = folder.with_name(f".partial-{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir()
    try:
        write_series(phantom, partial, patient, uid_entropy)
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _datalist(sections: list[str]) -> dict:
    datalist = {
        "name": "medgenesis phantom",
        "description": "Computed thoraces; no patient's data",
        "modality": {"0": "CT"},
        "labels": {str(value): name for value, name in LABELS.items()},
        "label_merge": {"1": [1, 2, 7], "2": [6]},  # what the examples learn: lungs with nodules, liver
    }
    for section in SECTIONS:
        datalist[section] = [
            {"image": f"images/{_name(k)}.nii.gz", "label": f"labels/{_name(k)}.nii.gz", "patient": _patient(k)}
            for k, own in enumerate(sections)
            if own == section
        ]
    return datalist


def _xray_datalist(rows: list[dict]) -> dict:
    datalist = {
        "name": "medgenesis phantom, X-rays",
        "description": "Projections of computed thoraces; no patient's data",
        "modality": {"0": "X-ray"},
        "labels": {str(value): name for value, name in ORGANS.items()},
        "class_names": list(FINDINGS),
    }
    for section in SECTIONS:
        datalist[section] = [
            {
                "image": row["image"],
                "label": row["image"].replace("xrays/", "xray_masks/"),
                "patient": row["patient"],
                "intensity": "xray",
                "classes": [row[finding] for finding in FINDINGS],
            }
            for row in rows
            if row["section"] == section
        ]
    return datalist


def _check_folder(steps: Steps, settings: dict, overwrite: bool) -> None:
    """Refuse a folder that holds something else; with `overwrite` remove earlier phantoms from it."""
    folder = steps.folder
    if folder.exists() and not folder.is_dir():
        raise VolumeError(f"{folder}: must be a folder; found a file. Choose another name.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    earlier = steps.settings_of("phantoms")
    differing = changes(earlier or {}, settings)
    if not differing:
        return
    if not overwrite:
        said = "; ".join(f"{name} = {values}" for name, values in differing.items())
        found = f"phantoms made with {said}" if earlier else "other files, or phantoms of version 0.1"
        raise VolumeError(
            f"folder: must be new, empty, or written by the same settings; found {found}, in {folder}. Name another "
            "folder, or pass --overwrite."
        )
    for part in (*_PARTS, "dicom"):
        for path in (folder / part).glob("phantom_*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in (*_LISTS, _EARLIER_RECORD):
        (folder / name).unlink(missing_ok=True)
