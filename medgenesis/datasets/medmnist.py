"""MedMNIST files: arrays of small images with their official sections, unpacked to files that every task reads."""

import json
import logging
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from medgenesis.errors import DatalistError
from medgenesis.storage.atomic import make_folder, replacing, write_text
from medgenesis.storage.fingerprints import file_fingerprint

logger = logging.getLogger(__name__)

_LAYOUT = 2  # of what is unpacked: another one unpacks anew
_SECTIONS = {"train": "training", "val": "validation", "test": "test"}


def unpack_medmnist(path: str | Path, folder: str | Path) -> Path:
    """Write the images of a MedMNIST file below a folder, and a datalist of them; where both are there, nothing.

    2D images become PNG, volumes one memory-mapped stack a section, with one window for all sections: 0 to 255, or 0 to
    1 where no voxel is above 1 (shapes). The file says nothing of patients: each image counts as one of its own, in the
    section that it has.

    Args:
        path: `.npz` with `train_images`, `train_labels`, and so on, one whole-numbered label an image.
        folder: made where absent.

    Returns:
        The datalist.

    Raises:
        DatalistError: no such file, other arrays, or several labels an image.
    """
    path, folder = Path(path), Path(folder)
    made_of = f"{_LAYOUT}:{file_fingerprint(path)}" if path.is_file() else ""
    listed = folder / "datalist.json"
    if listed.is_file() and json.loads(listed.read_text(encoding="utf-8")).get("made_of") == made_of:
        return listed
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DatalistError(f"{path}: cannot be read as a MedMNIST file ({error}). Download it again.") from error
    present = [part for part in _SECTIONS if f"{part}_images" in arrays]
    top = _top([arrays[f"{part}_images"] for part in present])
    datalist: dict = {"name": path.stem, "modality": {"0": "MedMNIST"}, "patient_keys": ["image"], "made_of": made_of}
    for part in present:
        images, labels = arrays[f"{part}_images"], arrays.get(f"{part}_labels")
        if labels is None or labels.size != len(images) or images.ndim not in (3, 4) or images.dtype != np.uint8:
            raise DatalistError(
                f"{path}: must have uint8 images and one label each; found {part}_images {images.shape} {images.dtype} "
                f"and labels {None if labels is None else labels.shape}. Of several findings an image make a datalist."
            )
        datalist[_SECTIONS[part]] = [
            {**record, "class": int(label)}
            for record, label in zip(_written(images, folder, part, top), labels.reshape(-1), strict=True)
        ]
    if not present:
        raise DatalistError(f"{path}: must hold train_images, val_images, test_images; found {list(arrays)}. Give one.")
    write_text(listed, json.dumps(datalist) + "\n")
    logger.info("%s: unpacked to %s", path, folder)
    return listed


def _top(sections: list[np.ndarray]) -> int:
    """Where the window of volumes ends, in all sections alike."""
    greatest = max((int(images.max(initial=0)) for images in sections if images.dtype == np.uint8), default=0)
    return 255 if greatest > 1 else 1


def _written(images: np.ndarray, folder: Path, part: str, top: int) -> list[dict]:
    """Records of the images, which are written; `top` is the end of the window of volumes."""
    if images.ndim == 4 and images.shape[-1] != 3:  # volumes
        name = folder / f"{part}.npy"
        with replacing(name) as beside, beside.open("wb") as file:
            np.save(file, images)
        window = {"preset": "custom", "a_min": 0, "a_max": top}
        return [{"image": name.name, "cube": row, "intensity": window} for row in range(len(images))]
    make_folder(folder / part)
    records = []
    for row, image in enumerate(images):
        name = Path(part) / f"{row:06d}.png"
        Image.fromarray(image).save(folder / name)
        colour = {"colour": True} if image.ndim == 3 else {}
        records.append({"image": name.as_posix(), "intensity": "xray", **colour})
    return records
