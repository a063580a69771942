"""Files as they were before gzip: unpacked by ISA-L where it is installed, twice as fast as by zlib."""

import gzip
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

try:
    from isal import igzip, isal_zlib
except ImportError:  # no wheel for this kind of machine
    igzip = isal_zlib = None

Read = TypeVar("Read")
_PIECE = 1 << 18  # bytes that are unpacked at a time: they stay in the processor's cache until they are copied


def from_unpacked(path: Path, read: Callable[[IO[bytes]], Read]) -> Read:
    """What `read` makes of the bytes of a file, which are unpacked where its name ends in `.gz`.

    A stream that ISA-L refuses is begun again by the standard library, which decides: errors are the same, in the same
    words, with and without ISA-L.

    Args:
        path: the file.
        read: from a stream at its start to anything; called a second time where ISA-L has refused the stream.
    """
    if not path.name.lower().endswith(".gz"):
        with path.open("rb") as stream:
            return read(stream)
    if igzip is not None:
        with suppress(OSError, EOFError, isal_zlib.error), _ByIsal(path) as stream:
            return read(stream)
    with _ByZlib(path) as stream:
        return read(stream)


class _InPieces:
    """`readinto` of a gzip file without a second copy of all that is asked for, as the standard library has it."""

    def readinto(self, buffer: bytearray | memoryview) -> int:
        view, filled = memoryview(buffer).cast("B"), 0
        while filled < len(view) and (piece := self.read(min(_PIECE, len(view) - filled))):
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled


class _ByZlib(_InPieces, gzip.GzipFile):
    pass


if igzip is not None:

    class _ByIsal(_InPieces, igzip.IGzipFile):
        pass
