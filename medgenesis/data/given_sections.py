"""The split that folders give: `train`, `val`, `test` below the images, or nnU-Net's `imagesTs` and `labelsTs`."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medgenesis.data.scan import Scan
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)

_NAMES = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_IMAGES, _LABELS = ("images", "image", "imgs"), ("labels", "label", "masks", "mask")


class Part(NamedTuple):
    """Images of one section, with their label maps."""

    images: Path
    labels: Path | None
    section: str | None
    """None: as the scans' own folders say, or as is drawn."""
    prefix: str = ""
    """Of the scans' names, for patterns that find the patient."""


def section_folders(images: Path) -> dict[str, str]:
    """Folders right below `images` that name sections -> section; empty unless training and another are among them."""
    found = {path.name: _NAMES[path.name.lower()] for path in sorted(images.iterdir()) if _names_section(path)}
    return found if "training" in found.values() and len(set(found.values())) > 1 else {}


def nested_parts(images: Path) -> list[Part]:
    """A part for each of `train/images` with `train/labels`, `test/images` …; none where a section lacks `images`.

    Not every section must have label maps.
    """
    parts = []
    for name, section in section_folders(images).items():
        inner = {path.name.lower(): path for path in (images / name).iterdir() if path.is_dir()}
        folder = next((inner[one] for one in _IMAGES if one in inner), None)
        if folder is None:
            return []
        labels = next((inner[one] for one in _LABELS if one in inner), None)
        parts.append(Part(folder, labels, section, f"{name}/{folder.name}/"))
    return parts if any(part.labels for part in parts) else []


def sections_of(scans: Sequence[Scan], images: Path, whole: bool = True) -> dict[Scan, str]:
    """The section of each scan by the folder right below `images`; empty where no such folders give a split.

    Args:
        scans: named by their paths below `images`.
        images: their folder.
        whole: scans beside those folders are an error.

    Raises:
        DatalistError: some scans lie beside those folders.
    """
    first = [(scan, scan.name.split("/")[0]) for scan in scans]
    folders = section_folders(images)
    if len({folders[name] for _, name in first if name in folders}) < 2:
        return {}
    beside = [scan.name for scan, name in first if name not in folders]
    if beside and whole:
        raise DatalistError(
            f"{images}: all scans must lie in {', '.join(folders)}, as these folders give a split; found {len(beside)} "
            f"beside them, the first {beside[0]}. Move them, or give --splits 0.8 0.1 0.1 to draw a split of all."
        )
    return {scan: folders[name] for scan, name in first if name in folders}


def say_given(sections: Mapping[Path, str]) -> None:
    """Log which folder is which section."""
    said = ", ".join(f"{folder.as_posix()} is {section}" for folder, section in sections.items())
    logger.info("the split is that of the folders: %s; --splits draws another", said)


def _names_section(path: Path) -> bool:
    return path.name.lower() in _NAMES and path.is_dir()
