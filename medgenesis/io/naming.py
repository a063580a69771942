"""The name by which an error calls a volume, and the names of what is written for images: one rule for all of it."""

import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from medgenesis.errors import DatalistError
from medgenesis.io.suffixes import split_suffix

_CHANNEL = re.compile(r"_\d{4}$")  # nnU-Net's number of a channel
_LONGEST = 200  # bytes of the last part of a name; file systems take 255, with what is added to it


def volume_name(volume: torch.Tensor) -> str:
    """The file a volume was read from, as MONAI remembers it, or "volume"."""
    return str(volume.meta.get("filename_or_obj", "volume")) if hasattr(volume, "meta") else "volume"


class OutputNames:
    """Names of what is written for the records of a list, all different: label maps, embeddings, restorations.

    A name is that of the image's file without its suffix, below its folder as seen from the folder that all images have
    in common. A DICOM folder's name is kept whole, dots included; of several files that are channels it is the first
    one's without nnU-Net's channel number; of a row of a stack its number (`cube`) is added, of one DICOM series of
    several in a folder its name (`series`). Images whose names would be the same get their suffix in it, `scan.nii.gz`
    and `scan.mha` become `scan_nii_gz` and `scan_mha`. A name of more than 200 bytes is cut, and ends in a digest of
    the whole.

    Args:
        records: with `image`, a path or several, `cube` for a row of a stack, `series` for one of a folder.

    Raises:
        DatalistError: two images whose names cannot be told apart; letters may differ in case alone on no system.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]]) -> None:
        records = list(records)
        keys = list(dict.fromkeys(_key(record["image"], record) for record in records))
        suffixed = {_key(record["image"], record) for record in records if _several(record["image"])}
        root = Path(os.path.commonpath([Path(path).parent for path, _ in keys])) if keys else Path()
        plain = {key: _name(*key, root, key in suffixed, False) for key in keys}
        seen = Counter(name.casefold() for name in plain.values())
        self.names = {
            key: name if seen[name.casefold()] == 1 else _name(*key, root, key in suffixed, True)
            for key, name in plain.items()
        }
        self._taken: dict[str, str] = {}  # name without case -> path
        for (path, _), name in self.names.items():
            if self._taken.setdefault(name.casefold(), path) != path:
                raise DatalistError(
                    f"{path}: must have a name of its own for what is written; found {name}, as of "
                    f"{self._taken[name.casefold()]}. Rename one, or give another output_dir to each."
                )

    def of(self, item: Mapping[str, Any], key: str = "image") -> str:
        """The name of an item made of one of the records, with folders, without suffix: `patient_1/scan`.

        Args:
            item: as from a data set, the image a MetaTensor that knows its file.
            key: of the image.
        """
        found = _key(volume_name(item[key]), item)
        if found not in self.names:  # of no list: told apart by a number
            name = _name(*found, Path(found[0]).parent)
            numbered = (f"{name}_{number}" for number in itertools.count(1))
            free = (one for one in itertools.chain([name], numbered) if one.casefold() not in self._taken)
            self.names[found] = next(free)
            self._taken[self.names[found].casefold()] = found[0]
        return self.names[found]


def names_for(volumes: Any) -> OutputNames:
    """Of a data set: the names of its records (`data`); of other iterables, those without a list."""
    records = [one for one in getattr(volumes, "data", ()) if isinstance(one, Mapping)]
    return OutputNames([one for one in records if isinstance(one.get("image"), (str, os.PathLike, list, tuple))])


def _several(image: Any) -> bool:
    return isinstance(image, (list, tuple)) and len(image) > 1


def _key(image: Any, record: Mapping[str, Any]) -> tuple[str, str | None]:
    """First file, absolute and without a trailing slash, and what of it: row or series."""
    first = image[0] if isinstance(image, (list, tuple)) else image
    row = None if record.get("cube") is None else str(int(record["cube"]))
    return os.path.normpath(Path(first).absolute()), record.get("series", row)


def _name(path: str, part: str | None, root: Path, several: bool = False, suffixed: bool = False) -> str:
    folder, name = os.path.relpath(Path(path).parent, root), Path(path).name
    stem, suffix = (name, "") if Path(path).is_dir() else split_suffix(name)
    stem = _CHANNEL.sub("", stem) if several else stem
    stem += suffix.replace(".", "_") if suffixed else ""
    stem += "" if part is None else f"_{part}"
    raw = os.fsencode(stem)
    if len(raw) > _LONGEST:
        stem = f"{raw[: _LONGEST - 13].decode('utf-8', 'ignore')}_{hashlib.sha256(raw).hexdigest()[:12]}"
    return Path(folder, stem).as_posix()
