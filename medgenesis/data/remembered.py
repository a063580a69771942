"""Results of checks, kept beside the cache: what was found good is not read again at the next start."""

import copy
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.data.utils import pickle_hashing

from medgenesis.data.cache import hash_record
from medgenesis.storage.atomic import write_text

logger = logging.getLogger(__name__)

_SAVE_EVERY = 60.0  # seconds


class RememberedChecks:
    """What was found of each good volume, by its record, its place in the list, its files' sizes and times of change.

    One file holds the results of one set of settings, so that other settings check anew. Volumes that cannot be used
    are not remembered: what was wrong may have been the disk. The file names no volume.

    Args:
        folder: of the cache.
        settings: all that the result depends on beside the volume; a random transform among them counts as if just
            seeded.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._changed, self._saved = False, time.monotonic()
        try:
            self.path = Path(folder) / f"checked_{pickle_hashing(_seeded(settings)).decode()[:24]}.json"
        except Exception as error:  # whatever has no pickle: functions, locks, files
            self.path = None
            logger.info("the check of the volumes is not remembered, as its settings cannot be pickled: %s", error)
            return
        if self.path.is_file():
            self._rows = self._read()

    def key(self, i: int, record: Mapping[str, Any]) -> str:
        """The key of record i; its files must exist."""
        return f"{hash_record(dict(record)).decode()[:32]}_{i}"

    def get(self, key: str) -> dict[str, Any] | None:
        """What was found, or None."""
        return self._rows.get(key)

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Remember `row`, whose values are numbers and words."""
        self._rows[key], self._changed = dict(row), True
        if time.monotonic() - self._saved > _SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write what is new, with what others have written meanwhile."""
        if self.path is None or not self._changed:
            return
        self._rows = {**self._read(), **self._rows}
        write_text(self.path, json.dumps(self._rows))
        self._changed, self._saved = False, time.monotonic()

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            return {**json.loads(self.path.read_text(encoding="utf-8"))}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            logger.warning("%s: unreadable results of a check, made anew (%s)", self.path, error)
            return {}


def _seeded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with every random transform in the state after `set_random_state(0)`."""
    copies = copy.deepcopy(dict(settings))
    for value in copies.values():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if hasattr(one, "set_random_state"):
                one.set_random_state(seed=0)
    return copies
