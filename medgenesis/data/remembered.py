"""Results of checks, kept beside the cache: what was found good is not read again at the next start."""

import copy
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medgenesis.data.volume_check import VolumeCheck
from medgenesis.storage.atomic import write_text
from medgenesis.storage.fingerprints import fingerprint, record_fingerprint, transform_fingerprint

logger = logging.getLogger(__name__)

_SAVE_EVERY = 60.0  # seconds
_FORM = 2  # another number where the checks of this package become stricter, so that all are made again


class RememberedChecks:
    """What was found of each good volume, by its record, its place in the list, its files' sizes and times of change.

    One file holds the results of one set of settings, so that other settings check anew. Volumes that cannot be used
    are not remembered: what was wrong may have been the disk. The file names no volume.

    Args:
        folder: of the cache.
        preprocessing: of the volumes.
        check: what they pass; its random transforms count as if just seeded.
        share: a name of its own for what this process finds, where others write into the folder at the same time; all
            are read.
    """

    def __init__(self, folder: str | Path, preprocessing: Callable, check: VolumeCheck, share: str = "") -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._changed, self._saved = False, time.monotonic()
        try:
            self._name = f"checked_{_fingerprint(preprocessing, check)}"
        except ValueError as error:
            self.path = None
            logger.info("what the check of the volumes finds is not remembered: %s", error)
            return
        self.path = Path(folder) / (f"{self._name}.{share}.json" if share else f"{self._name}.json")
        self._rows = self._read()

    def key(self, i: int, record: Mapping[str, Any]) -> str:
        """The key of record i; its files must exist."""
        return f"{record_fingerprint(record)}_{i}"

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
        rows: dict[str, dict[str, Any]] = {}
        for path in sorted(self.path.parent.glob(f"{self._name}*.json")):
            try:
                rows |= {**json.loads(path.read_text(encoding="utf-8"))}
            except (OSError, ValueError, TypeError) as error:
                logger.warning("%s: unreadable results of a check, made anew (%s)", path, error)
        return rows


def _fingerprint(preprocessing: Callable, check: VolumeCheck) -> str:
    """Of all that the result depends on beside the volume (ValueError: a step that cannot be pickled)."""
    steps = {"crop": check.crop, "also": check.also, **{f"trial {i}": one for i, one in enumerate(check.trials)}}
    settings = {name: transform_fingerprint(_seeded(step)) for name, step in steps.items() if step is not None}
    settings |= {"preprocessing": transform_fingerprint(preprocessing), "form": _FORM}
    return fingerprint({**settings, "draws": check.draws, "seed": check.seed})


def _seeded(step: Callable) -> Callable:
    """A copy in the state after `set_random_state(0)`: what it has drawn before is no setting."""
    try:
        step = copy.deepcopy(step)
    except TypeError:  # of what has no pickle either
        return step
    if hasattr(step, "set_random_state"):
        step.set_random_state(seed=0)
    return step
