"""Classes that folders name: `NORMAL/1.png` and `PNEUMONIA/2.png`, with others above or below."""

from collections.abc import Sequence
from pathlib import Path

from medgenesis.data.scan import Scan
from medgenesis.errors import DatalistError


def class_names(scans: Sequence[Scan], names: Sequence[str], images: Path, sections: Sequence[str] = ()) -> list[str]:
    """The classes in their order: as given, else the first folders below `images` (or its `sections`), ordered.

    Raises:
        DatalistError: fewer than two, or a name that no folder has.
    """
    folders = [scan.name.split("/")[:-1] for scan in scans]
    folders = [path[1:] if path and path[0] in sections else path for path in folders]
    found = list(names) or sorted({path[0] for path in folders if path}, key=_number_or_name)
    lacking = [name for name in found if not any(name in path for path in folders)]
    if len(found) < 2 or len(set(found)) < len(found) or lacking:
        raise DatalistError(
            f"{images}: must have a folder of scans for each of two classes at least; found "
            f"{'none called ' + lacking[0] if lacking else ', '.join(found) or 'none'}. Name the folders: --classes "
            "NORMAL PNEUMONIA."
        )
    return found


def _number_or_name(name: str) -> tuple[int, int, str]:
    """Whole numbers in their order, `2` before `10`, then names."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def class_of(scan: Scan, names: Sequence[str], images: Path) -> int:
    """The class of a scan: the place of its folder's name.

    Raises:
        DatalistError: it lies in none of the folders, or in two.
    """
    within = [name for name in scan.name.split("/")[:-1] if name in names]
    if len(within) != 1:
        raise DatalistError(
            f"{images}: each scan must lie in the folder of one class, {', '.join(names)}; found {scan.name} in "
            f"{' and '.join(within) or 'none'}. Move it, or name the classes by --classes."
        )
    return names.index(within[0])


def without_class(name: str, names: Sequence[str]) -> str:
    """The path without the folders that name classes: they are no patients."""
    *folders, last = name.split("/")
    return "/".join([*(folder for folder in folders if folder not in names), last])
