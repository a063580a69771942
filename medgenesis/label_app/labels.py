"""A label map as a viewer saves it: checked against its study, its values brought to those of the app.

3D Slicer numbers segments by their place in its list and says their names beside (`label_info`): a liver drawn alone is
stored as 1. It is the name that counts.
"""

import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from medgenesis.data.label_layers import JoinLabelLayersd
from medgenesis.data.orientation import ReorientVolumesd
from medgenesis.data.pipeline import Preprocessing, preprocessing
from medgenesis.errors import VolumeError
from medgenesis.io.suffixes import split_suffix
from medgenesis.io.volume_reader import LoadVolumed
from medgenesis.label_app.sent_files import errors_call
from medgenesis.label_app.studies import FLAT
from medgenesis.storage.atomic import replacing


def check_label(
    image: str | Path, label: str | Path, classes: Mapping[str, int], label_info: Sequence[Mapping[str, Any]] | None
) -> dict[int, int]:
    """Check a label map against its study.

    Args:
        image: file of the study.
        label: file of the label map.
        classes: name -> value in the app.
        label_info: `[{"name": "liver", "idx": 1}, …]` as viewers send it (or `id`); None: values are those of the app.

    Returns:
        Stored value -> value in the app, of the values that occur.

    Raises:
        VolumeError: unreadable, on another grid, without foreground, or with a value that has no name in the app; or
            names that cannot be read.
    """
    named = said_names(label_info)
    prepared = preprocessing(label_keys=["label"], intensity=None)({"image": str(image), "label": str(label)})
    values = [int(value) for value in np.unique(prepared["label"].numpy(force=True)) if value]
    if not values:
        raise VolumeError(f"{label}: a label map must have foreground; found none. Draw before you save.")
    own = {name.strip().casefold(): value for name, value in classes.items()}
    found = {value: own.get(named[value].strip().casefold()) if value in named else None for value in values}
    if not named:
        found = {value: value if value in classes.values() else None for value in values}
    unknown = [
        f"{value} ({named[value]})" if value in named else str(value) for value, to in found.items() if to is None
    ]
    if unknown:
        listed = ", ".join(f"{value} ({name})" for name, value in classes.items())
        raise VolumeError(
            f"{Path(label).name}: labels must be of {listed}; found {', '.join(unknown[:8])}. Rename the segment, or "
            "start the app with its name among --labels."
        )
    return {value: to for value, to in found.items() if to is not None}


def write_renumbered(label: str | Path, target: str | Path, values: Mapping[int, int]) -> Path:
    """Write a label map with the values of the app, on the grid that it has.

    Args:
        label: as it was saved.
        target: without suffix.
        values: stored value -> value in the app, from `check_label`.

    Returns:
        The file: NIfTI, or PNG of a flat image.
    """
    loaded = Preprocessing([LoadVolumed("label", label_keys="label"), JoinLabelLayersd("label")])({"label": str(label)})
    stored = loaded["label"][0].numpy(force=True)
    renumbered = np.zeros(stored.shape, np.uint8)
    for value, to in values.items():
        renumbered[stored == value] = to
    flat = renumbered.ndim == 2
    path = Path(f"{target}{'.png' if flat else '.nii.gz'}")
    with replacing(path) as beside:
        if flat:
            Image.fromarray(renumbered.T).save(beside)
        else:
            nib.save(nib.Nifti1Image(renumbered, np.asarray(loaded["label"].affine, dtype=float)), beside)
    return path


def write_flat(label: str | Path, target: str | Path) -> Path:
    """Write the label map of a flat image, which 3D Slicer saves as a volume of one slice, as PNG.

    Raises:
        VolumeError: it cannot be read, or is of several slices.
    """
    steps = [
        LoadVolumed("label", label_keys="label"),
        JoinLabelLayersd("label"),
        ReorientVolumesd("label", axcodes="LPS"),
    ]
    values = Preprocessing(steps)({"label": str(label)})["label"][0].numpy(force=True)
    if values.ndim != 3 or values.shape[2] != 1:
        raise VolumeError(
            f"{Path(label).name}: a label map of a flat image must be of one slice; found {values.shape}. Save it as "
            "PNG."
        )
    if values.min() < 0 or values.max() > 255:
        raise VolumeError(
            f"{Path(label).name}: values must be from 0 to 255; found {values.min():g} to {values.max():g}. Save it as "
            "labels."
        )
    with replacing(target) as beside:
        Image.fromarray(values[..., 0].astype(np.uint8).T).save(beside)
    return Path(target)


@contextmanager
def as_stored(image: str | Path, label: str | Path, said: str) -> Generator[Path, None, None]:
    """The label map of a study as its kind is stored: of a flat image as PNG, which is removed at the end.

    Args:
        image: file of the study.
        label: file that was sent.
        said: how errors call it.

    Raises:
        VolumeError: as `write_flat`.
    """
    label = Path(label)
    if split_suffix(Path(image).name)[1].lower() not in FLAT or label.suffix.lower() in FLAT:
        with errors_call(said, label):
            yield label
        return
    with tempfile.TemporaryDirectory() as folder:
        flat = Path(folder) / f"{split_suffix(label.name)[0]}.png"
        with errors_call(said, flat, label):
            yield write_flat(label, flat)


def said_names(label_info: Sequence[Mapping[str, Any]] | None) -> dict[int, str]:
    """Stored value -> name, where a viewer has said names.

    Args:
        label_info: `[{"name": "liver", "idx": 1}, …]`, the value as `idx` or as `id`; None or empty: nothing is said.

    Raises:
        VolumeError: something else, an entry without a name or a value for example: a name that is passed over would be
            learnt as another structure.
    """
    found = {}
    for one in entries_of(label_info):
        if not one.get("name"):
            raise _unreadable(one)
        found[number_of(one)] = str(one["name"])
    return found


def entries_of(label_info: Any) -> list[Mapping[str, Any]]:
    """The entries as a viewer sends them.

    Raises:
        VolumeError: it is no list of mappings.
    """
    if not label_info:
        return []
    if isinstance(label_info, str) or not isinstance(label_info, Sequence):
        raise _unreadable(label_info)
    for one in label_info:
        if not isinstance(one, Mapping):
            raise _unreadable(one)
    return list(label_info)


def number_of(entry: Mapping[str, Any]) -> int:
    """The value of an entry, `idx` before `id`.

    Raises:
        VolumeError: it has none.
    """
    value = entry.get("idx", entry.get("id"))
    if isinstance(value, bool) or not str(value).isdecimal():
        raise _unreadable(entry)
    return int(value)


def _unreadable(found: Any) -> VolumeError:
    return VolumeError(
        f'label_info: must be [{{"name": "liver", "idx": 1}}, …], each with name and value; found {str(found)[:80]}. '
        "Send it so, or leave it out where the values are those of the app."
    )
