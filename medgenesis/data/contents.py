"""What a list of records holds, whatever it is called and wherever its files lie: told by a short text."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.storage.fingerprints import file_stamps, fingerprint

_FILES = ("image", "label")


def contents_of(dataset: Any) -> str | None:
    """Number and fingerprint of what the samples of a data set are made of; None where it does not say (`data`).

    Names of files count from the folder that all have in common, and with their sizes; so a folder that was moved or
    copied is the same, and one with other files of the same names is not. The order counts, as samples follow it.
    """
    records = records_of(dataset)
    if not records:
        return None
    paths = [path for record in records for key in _FILES for path in _paths(record.get(key))]
    common = os.path.commonpath([Path(path).parent for path in paths]) if paths else ""
    sizes = {path: sorted(size for _, size, _ in file_stamps(path)) for path in set(paths)}

    def plain(key: str, value: Any) -> Any:
        if key not in _FILES or not _paths(value):
            return value if isinstance(value, (str, int, float, list, tuple, dict, type(None))) else repr(value)
        return [[Path(os.path.relpath(path, common)).as_posix(), sizes[path]] for path in _paths(value)]

    content = fingerprint([{key: plain(key, value) for key, value in record.items()} for record in records])
    return f"{len(records)} records, content {content[:8]}"


def records_of(dataset: Any) -> Sequence[Mapping[str, Any]]:
    """What the samples of a data set are made of; none where it does not say (`items`, `data`)."""
    known = getattr(dataset, "__dict__", {})
    records = known.get("items", known.get("data"))
    told = isinstance(records, Sequence) and all(isinstance(one, Mapping) for one in records)
    return records if told else ()


def _paths(value: Any) -> list[str]:
    names = value if isinstance(value, (list, tuple)) else [value]
    return [str(Path(name).absolute()) for name in names if isinstance(name, (str, os.PathLike))]
