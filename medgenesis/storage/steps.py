"""One answer to "was this done already, with these settings?": the steps of a folder, and what each was made with."""

import json
import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgenesis.errors import first_few
from medgenesis.storage.atomic import write_text
from medgenesis.storage.fingerprints import changes
from medgenesis.storage.run_folder import held

logger = logging.getLogger(__name__)

RECORD = "steps.json"
POLICIES = ("refuse", "renew", "keep")
_NAMED = 5  # files or settings, in a message


@dataclass(frozen=True)
class Step:
    """What a step leaves in the folder.

    Args:
        results: files that are there when it is done.
        unfinished: files that a stopped one leaves, to go on from; `Steps.once` removes them when it is done.
    """

    results: tuple[str, ...]
    unfinished: tuple[str, ...] = ()


class Steps:
    """The steps of a run in one folder; the settings of each are kept in the folder's `steps.json`.

    ::

        steps = Steps(folder, {"features": Step(("features.npz",))})
        settings = {"size": [96, 96, 96], "weights (fingerprint)": file_fingerprint(weights)}
        if not steps.done("features", settings):
            with steps.doing("features", settings):
                ...  # writes features.npz, whole or not at all

    `once` is all of this, for a step by one process.

    Args:
        folder: of the run; made when a step begins.
        steps: by name, in their order: a step depends on all before it.
        changed: what becomes of results that other settings made, or of which nothing is known. "refuse" is an error,
            so that nothing is used or overwritten unasked. "renew" computes them anew, with a warning. "keep" uses
            finished ones as they are, with a warning: where the settings hold more than the results follow from.

    Raises:
        ValueError: another `changed`.

    Notes:
        Settings are kept as JSON, for everybody to read: give a `fingerprint` of what may name patients.
    """

    def __init__(self, folder: str | Path, steps: Mapping[str, Step], changed: str = "refuse") -> None:
        if changed not in POLICIES:
            raise ValueError(f"changed: must be one of {', '.join(POLICIES)}; found {changed!r}. Choose one of them.")
        self.folder, self.steps, self.changed = Path(folder), dict(steps), changed
        self.path = self.folder / RECORD

    def done(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Whether the results of a step are there, made by these settings.

        Raises:
            ValueError: something of the step is there that other settings made, or of which nothing is known, and
                `changed` is "refuse"; the record is damaged.
        """
        if not self.left_by(name):
            return False
        entry, finished = self._read().get(name), self.finished(name)
        if entry is None:
            self._refuse_or_warn(name, f"{self.path} does not say which settings it was made with", finished)
            return False
        differing = changes(entry["settings"], _plain(settings))
        if differing:
            said = first_few([f"{setting} = {values}" for setting, values in differing.items()], _NAMED, "; ")
            self._refuse_or_warn(name, f"it was made with {said}", finished)
        return finished and not (differing and self.changed == "renew")

    @contextmanager
    def doing(self, name: str, settings: Mapping[str, Any]) -> Generator[None, None, None]:
        """Note that a step has begun, and, where the block ends well, that it is finished.

        With "renew", what a stopped step of other settings has left to go on from is removed first.
        """
        entry, plain = self._read().get(name), _plain(settings)
        if self.changed == "renew" and (entry is None or changes(entry["settings"], plain)):
            for path in self.steps[name].unfinished:
                (self.folder / path).unlink(missing_ok=True)
        self._write(name, plain, finished=False)
        yield
        self._write(name, plain, finished=True)

    def once(self, name: str, settings: Mapping[str, Any], work: Callable[[], object]) -> None:
        """Do a step, unless it is done with these settings, and remove what a stopped one would have gone on from.

        Args:
            name: of the step.
            settings: that it is made with.
            work: leaves the results; the folder is held meanwhile (`held`).

        Raises:
            ValueError: see `done`.
            OutputError: another process is at work in the folder, or it cannot be written.
        """
        if self.done(name, settings):
            return
        with held(self.folder):
            with self.doing(name, settings):
                work()
            for path in self.steps[name].unfinished:  # only to go on from, and large
                (self.folder / path).unlink(missing_ok=True)

    def finished(self, name: str) -> bool:
        """Whether a step has ended well and its results are there, whatever its settings were."""
        entry = self._read().get(name)
        results = [self.folder / result for result in self.steps[name].results]
        return entry is not None and entry["finished"] and all(result.exists() for result in results)

    def settings_of(self, name: str) -> dict[str, Any] | None:
        """What a step was begun with; None where nothing is known of it."""
        entry = self._read().get(name)
        return None if entry is None else entry["settings"]

    def left_by(self, name: str) -> list[Path]:
        """What is there of a step, finished or not."""
        step = self.steps[name]
        return [path for path in map(self.folder.joinpath, (*step.results, *step.unfinished)) if path.exists()]

    def _refuse_or_warn(self, name: str, fault: str, finished: bool) -> None:
        """As `changed` says."""
        order = list(self.steps)
        later = [str(path) for step in order[order.index(name) :] for path in self.left_by(step)]
        listed = first_few(later, _NAMED)
        if self.changed == "refuse":
            raise ValueError(
                f"{later[0]}: must be made with the same settings; found that {fault}. Use the same settings, choose "
                f"another folder, or remove what depends on it ({listed})."
            )
        if self.changed == "renew":
            what = "it is computed anew"
        elif finished:
            what = f"it is kept as it is; to compute it anew, remove what depends on it ({listed})"
        else:
            what = "the step goes on from there"
        logger.warning("%s: %s; %s", later[0], fault, what)

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return {name: {"settings": one["settings"], "finished": one["finished"]} for name, one in found.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.path}: cannot be read as a record of steps ({error}). Choose another folder."
            ) from error

    def _write(self, name: str, plain: Mapping[str, Any], finished: bool) -> None:
        entry = {"settings": plain, "finished": finished}
        write_text(self.path, json.dumps({**self._read(), name: entry}, indent=1) + "\n")


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as JSON gives them back: tuples become lists."""
    return json.loads(json.dumps(settings, default=repr))
