"""A table of patterns that grows, on the disk."""

import time
from pathlib import Path

from medgenesis.mining.patterns import PatternTable

_SAVE_EVERY = 60.0  # seconds: what a killed run loses at most


class PartialTable:
    """The newest table, written once a minute at most, and when the `with` block ends or is stopped.

    A table is written whole, which takes longer than to find a class.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.table, self.saved = path, None, time.monotonic()

    def __call__(self, table: PatternTable) -> None:
        """Take note of a newer table: the `on_class` of `discover`."""
        self.table = table
        if time.monotonic() - self.saved > _SAVE_EVERY:
            table.save(self.path)
            self.saved = time.monotonic()

    def __enter__(self) -> "PartialTable":
        return self

    def __exit__(self, *_: object) -> None:
        if self.table is not None:
            self.table.save(self.path)
