"""What is in the files of a list, which their names and sizes do not tell; and which of them have changed since."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from medgenesis.data.contents import records_of
from medgenesis.data.image_fingerprints import all_fingerprints
from medgenesis.progress import track
from medgenesis.storage.fingerprints import file_fingerprint, fingerprint

Prints = dict[str, list[list[str]]]

_DIGITS = 16
_READERS = 8  # threads


def file_contents(dataset: Any) -> Prints:
    """Fingerprints of the files of each record of a data set: `image` and `label`, one list a record, in its order.

    Of images they are `image_fingerprints`. Of label maps they are of the whole file: in one of a fixed size little may
    change, anywhere, and most are compressed. A file that cannot be read has none; nor has a label map that lies in the
    file of its image.

    Returns:
        `{"image": …, "label": …}`; nothing of a data set that does not tell its records.
    """
    records = [record for record in records_of(dataset) if "image" in record]
    return {"image": all_fingerprints(records), "label": _of_labels(records)} if records else {}


def changed_files(dataset: Any, earlier: Prints, now: Prints) -> list[str]:
    """The files of a data set, as its records name them, whose content is not that of before.

    Args:
        dataset: of the same number of records as both `file_contents`.
        earlier: what was kept; a key that it lacks is not compared.
        now: of the present files.
    """
    records = [record for record in records_of(dataset) if "image" in record]
    found = (
        name
        for key in earlier.keys() & now.keys()
        for record, *pair in zip(records, earlier[key], now[key], strict=True)
        if pair[0] != pair[1]
        for name in _names(record.get(key))
    )
    return sorted(set(found))


def images_known(seen: Collection[str], now: Prints) -> Prints:
    """What was kept of images of which alone the fingerprints `seen` are known: those of now that are among them."""
    known = set(seen)
    return {"image": [prints if known.issuperset(prints) else [] for prints in now.get("image", ())]}


def _of_labels(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    own = [[name for name in _names(record.get("label")) if name not in _names(record["image"])] for record in records]
    names = sorted({name for some in own for name in some})
    with ThreadPoolExecutor(_READERS) as readers:
        prints = dict(zip(names, track(readers.map(_of_file, names), "label maps recognised", len(names)), strict=True))
    return [[prints[name] for name in some if prints[name]] for some in own]


def _of_file(name: str) -> str:
    """Of a whole file, or of all in a folder."""
    path, found = Path(name), ""
    with contextlib.suppress(OSError):  # not there, or not to be read: whoever needs it says so
        files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
        found = fingerprint([file_fingerprint(one) for one in files])[:_DIGITS]
    return found


def _names(value: Any) -> list[str]:
    names = value if isinstance(value, (list, tuple)) else [value]
    return [str(name) for name in names if isinstance(name, (str, Path))]
