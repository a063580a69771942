"""Which steps of a run are done in a folder, and by which settings."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgenesis.storage.atomic import write_text

RECORD = "steps.json"


@dataclass(frozen=True)
class Step:
    """What a step leaves in the folder.

    Args:
        results: files that are there when it is done.
        unfinished: files that a stopped one leaves, to go on from.
    """

    results: tuple[str, ...]
    unfinished: tuple[str, ...] = ()


class Steps:
    """The steps of a run in one folder; the settings of each are kept in the folder's `steps.json`.

    Args:
        folder: of the run; made when a step begins.
        steps: by name, in their order: a step depends on all before it.
    """

    def __init__(self, folder: str | Path, steps: Mapping[str, Step]) -> None:
        self.folder, self.steps = Path(folder), dict(steps)
        self.path = self.folder / RECORD

    def done(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Whether the results of a step are there, made by these settings.

        Raises:
            ValueError: something of the step is there that other settings made, or of which nothing is known.
        """
        found = self._files(name)
        if not found:
            return False
        entry = self._read().get(name)
        if entry is None:
            raise ValueError(
                f"{found[0]}: {self.path} does not say which settings it was made with: move it away, or choose "
                "another folder"
            )
        self._compare(name, entry["settings"], _plain(settings))
        return entry["finished"] and all((self.folder / result).exists() for result in self.steps[name].results)

    @contextmanager
    def doing(self, name: str, settings: Mapping[str, Any]) -> Iterator[None]:
        """Note that a step has begun, and, where the block ends well, that it is finished."""
        self._write(name, settings, finished=False)
        yield
        self._write(name, settings, finished=True)

    def _files(self, name: str) -> list[Path]:
        """What is there of a step."""
        step = self.steps[name]
        return [path for path in map(self.folder.joinpath, (*step.results, *step.unfinished)) if path.exists()]

    def _compare(self, name: str, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for key in dict.fromkeys((*earlier, *now)):
            if earlier.get(key) != now.get(key):
                order = list(self.steps)
                later = [path for step in order[order.index(name) :] for path in self._files(step)]
                raise ValueError(
                    f"{later[0]}: was made with {key} = {earlier.get(key)!r}, now it is {now.get(key)!r}: use the same "
                    f"settings, choose another folder, or remove what depends on it ({', '.join(map(str, later))})"
                )

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return {name: {"settings": one["settings"], "finished": one["finished"]} for name, one in found.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.path}: cannot be read as a record of steps ({error}): choose another folder"
            ) from error

    def _write(self, name: str, settings: Mapping[str, Any], finished: bool) -> None:
        entry = {"settings": _plain(settings), "finished": finished}
        write_text(self.path, json.dumps({**self._read(), name: entry}, indent=1) + "\n")


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as JSON gives them back: tuples become lists."""
    return json.loads(json.dumps(settings, default=repr))
