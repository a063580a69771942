"""Headers of MetaImage and NRRD, which are text, read before ITK sees them: what they name, where the voxels stand."""

import math
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from medgenesis.errors import VolumeError

_LONGEST_LINE, _MOST_LINES = 1 << 16, 10_000
_META_LINE = re.compile(r"([^=]*[^=\s])\s*=(.*)")
_NRRD_LINE = re.compile(r"([A-Za-z][A-Za-z ]*): *(.*)")


@dataclass(frozen=True)
class TextHeader:
    """What a header says of its voxels.

    Args:
        fields: of MetaImage by their names, of NRRD by their names in small letters without spaces.
        data: files that hold the voxels, in their order; the header's own where they follow it.
        offset: bytes before the voxels; None: they are the last bytes of their file.
        encoding: "raw", "zlib" or "gzip", or another word, which is ITK's to read.
        byteorder: "<" or ">".
        pairs: what programs have added to an NRRD, key -> value.
    """

    fields: dict[str, str]
    data: tuple[Path, ...]
    offset: int | None
    encoding: str
    byteorder: str
    pairs: dict[str, str] = field(default_factory=dict)


def read_text_header(path: Path) -> TextHeader:
    """The header of a `.mha`, `.mhd`, `.nrrd` or `.nhdr`.

    Raises:
        VolumeError: lines of another form, a field that is given twice, a data file whose name is not a plain one, or
            that is no file beside the header.
    """
    with path.open("rb") as file:
        return _meta_image(path, file) if path.suffix.lower() in (".mha", ".mhd") else _nrrd(path, file)


def _meta_image(path: Path, file: IO[bytes]) -> TextHeader:
    fields: dict[str, str] = {}
    for line in _lines(path, file):
        _add(path, fields, _META_LINE.fullmatch(line), line)
        if "ElementDataFile" in fields:
            break
    named = fields.get("ElementDataFile", "")
    if not named:
        raise _malformed(path, "no ElementDataFile")
    axes = _check_sides(path, fields, "NDims", "DimSize")
    for name, count in {"ElementSpacing": axes, "Offset": axes, "TransformMatrix": axes * axes}.items():
        _check_numbers(path, fields, name, count)
    local = named.upper() == "LOCAL"
    names = list(_lines(path, file)) if re.match("LIST\\b", named) else [named]
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", ""))
    skip = int(fields.get("HeaderSize", 0))
    offset = file.tell() if local else skip
    return TextHeader(
        fields,
        (path,) if local else _beside(path, names),
        None if skip < 0 else offset,
        "ascii" if _is_no(fields.get("BinaryData")) else "zlib" if _is_yes(fields.get("CompressedData")) else "raw",
        ">" if _is_yes(big) else "<",
    )


def _nrrd(path: Path, file: IO[bytes]) -> TextHeader:
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    names: list[str] = []
    lines = _lines(path, file, until_blank=True)
    if not next(lines, "").startswith("NRRD000"):
        raise _malformed(path, "no NRRD")
    for line in lines:
        key, is_pair, value = line.partition(":=")
        if is_pair:
            pairs[key] = value.encode("latin-1").decode("utf-8", "replace")
        if line.startswith("#") or is_pair:
            continue
        _add(path, fields, _NRRD_LINE.fullmatch(line), line)
        if re.match("LIST\\b", fields.get("datafile", "")):
            names = list(lines)
    _check_sides(path, fields, "dimension", "sizes")
    detached = fields.get("datafile")
    encoding = fields.get("encoding", "").lower()
    skips = [int(fields.get(skip, 0)) for skip in ("lineskip", "byteskip")]
    if any(skips) and (encoding != "raw" or skips[0]):
        raise _malformed(path, "a line skip, or a byte skip of compressed voxels")
    offset = 0 if detached else file.tell()
    return TextHeader(
        fields,
        _beside(path, names or [detached]) if detached else (path,),
        None if skips[1] < 0 else offset + skips[1],
        {"gz": "gzip"}.get(encoding, encoding),
        ">" if fields.get("endian", "").lower() == "big" else "<",
        pairs,
    )


def _lines(path: Path, file: IO[bytes], until_blank: bool = False) -> Iterator[str]:
    """Lines without their end; blank ones end the header or are passed over."""
    for _ in range(_MOST_LINES):  # lines are of single bytes here; a name in UTF-8 is put together in _beside
        raw = file.readline(_LONGEST_LINE)
        line = raw.decode("latin-1").rstrip("\r\n").strip(" \t")
        if not raw or (until_blank and not line):
            return
        if not raw.endswith(b"\n") and len(raw) == _LONGEST_LINE:
            raise _malformed(path, "a line without end")
        if any(ord(letter) < 32 and letter != "\t" for letter in line):
            raise _malformed(path, "bytes that are no text")
        if line:
            yield line
    raise _malformed(path, f"more than {_MOST_LINES} lines")


def _add(path: Path, fields: dict[str, str], match: re.Match | None, line: str) -> None:
    if match is None:
        raise _malformed(path, f"the line {line[:60]!r}")
    name = match[1] if path.suffix.lower() in (".mha", ".mhd") else match[1].lower().replace(" ", "")
    if name in fields:
        raise _malformed(path, f"{match[1]} twice")
    if name != "ElementDataFile" and name.lower().startswith("elementdatafile"):
        raise _malformed(path, f"the line {line[:60]!r}")
    fields[name] = match[2].strip()


def _check_sides(path: Path, fields: dict[str, str], axes: str, sides: str) -> int:
    """How many axes there are, from 1 to 8, each with a side: ITK takes memory for what is said, and may crash."""
    number = fields.get(axes, "")
    if not number.isdecimal() or not 1 <= int(number) <= 8:
        raise _malformed(path, f"{axes} {number[:20]!r}")
    words = fields.get(sides, "").split()
    if len(words) != int(number) or not all(word.isdecimal() and len(word) < 10 and int(word) > 0 for word in words):
        raise _malformed(path, f"{sides} {' '.join(words)[:60]!r} for {number} axes")
    return int(number)


def _check_numbers(path: Path, fields: dict[str, str], name: str, count: int) -> None:
    try:
        numbers = [float(word) for word in fields.get(name, "0 " * count).split()]
    except ValueError:
        numbers = []
    allowed = len(numbers) == count and all(map(math.isfinite, numbers))
    if not allowed or (name == "ElementSpacing" and 0 in numbers and name in fields):  # ITK takes 0 for 1
        raise _malformed(path, f"{name} {fields[name][:60]!r}, not {count} finite numbers or a spacing of 0,")


def _beside(path: Path, names: list[str]) -> tuple[Path, ...]:
    """The data files: plain names, so that a header can read nothing but what lies with it."""
    files = []
    for name in names:
        if not name or name in (".", "..") or re.search(r"[/\\%]", name):
            raise VolumeError(
                f"{path}: its data file must be a plain name, of a file beside it; found {name!r}. Put the data file "
                "beside the header and write its name there."
            )
        file = path.with_name(name.encode("latin-1").decode("utf-8", "surrogateescape"))
        if not file.exists() or not stat.S_ISREG(file.stat().st_mode):
            raise VolumeError(f"{path}: its data file {name} must lie beside it; found no such file. Copy it as well.")
        files.append(file)
    return tuple(files)


def _malformed(path: Path, found: str) -> VolumeError:
    return VolumeError(
        f"{path}: cannot be read, truncated or damaged (found {found} in its header). Copy it again, or write it anew "
        "with SimpleITK."
    )


def _is_yes(value: str | None) -> bool:
    return (value or "")[:1] in ("T", "t", "1")


def _is_no(value: str | None) -> bool:
    return (value or "")[:1] in ("F", "f", "0")
