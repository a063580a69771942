"""Which image a record names, told by the content of its files: in a copy of another name and folder too."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from medgenesis.progress import track

_DIGITS = 16
_READERS = 8  # threads
_CHUNK = 1 << 16  # bytes, at each of three places: the beginning alone is often air, alike in all scans of a size


def image_fingerprints(record: Mapping[str, Any]) -> list[str]:
    """16 hexadecimal digits of each file of a record's image that can be read (one a channel); they name nobody.

    Of a file they are of its size and of 64 KiB at its beginning, middle and end; of a folder of the sizes of its files
    and so much of the first, the middle and the last one; with `series` and `cube`, where the record has them. So no
    volume is read, and a copy is told wherever it lies; one that was converted or compressed again is another image.
    """
    image = record["image"]
    names = image if isinstance(image, (list, tuple)) else [image]
    part = f"{record.get('series', '')} {record.get('cube', '')}"
    found = []
    for name in names:
        with contextlib.suppress(OSError):  # not there, or not to be read: whoever needs the volume says so
            found.append(_of(Path(name), part))
    return found


def all_fingerprints(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """`image_fingerprints` of each record, read by several threads at once: an archive on a server is far away.

    An image that many records name, as the cubes of a pattern table do, is read once.
    """
    keys = [repr([record.get(key) for key in ("image", "series", "cube")]) for record in records]
    distinct = dict(zip(keys, records, strict=True))
    with ThreadPoolExecutor(_READERS) as readers:
        read = readers.map(image_fingerprints, distinct.values())
        found = dict(zip(distinct, track(read, "images recognised", total=len(distinct)), strict=True))
    return [found[key] for key in keys]


def _of(path: Path, part: str) -> str:
    digest = hashlib.sha256(part.encode("utf-8", "surrogateescape"))
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    digest.update(" ".join(str(one.stat().st_size) for one in files).encode())
    for place in sorted({0, len(files) // 2, len(files) - 1}) if files else ():
        for chunk in _chunks(files[place]):
            digest.update(chunk)
    return digest.hexdigest()[:_DIGITS]


def _chunks(path: Path) -> Sequence[bytes]:
    size, chunks = path.stat().st_size, []
    with path.open("rb") as file:
        for start in sorted({0, max(0, (size - _CHUNK) // 2), max(0, size - _CHUNK)}):
            file.seek(start)
            chunks.append(file.read(_CHUNK))
    return chunks
