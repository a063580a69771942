"""The trainings of a label app, each in a folder of its own, and which of their models is shown."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from medgenesis.errors import OutputError
from medgenesis.label_app.app_folder import in_order, labels_of
from medgenesis.label_app.class_order import order_of
from medgenesis.label_app.settings import AppSettings
from medgenesis.storage.atomic import make_folder, write_text
from medgenesis.storage.run_folder import LOCK, hold_folder, release_folder

RESULT = "result.json"
LEARNT = "learnt_from.json"
MODEL = "model.pt"
DATALIST = "datalist.json"


class History:
    """The trainings of an app, `trainings/0001`, `0002` … in its folder.

    A training that runs shows nothing yet. Of those that have ended the latest counts, unless it was found to be worse
    than the one before it. One that was stopped or killed has measured nothing: its best model so far is kept, and
    shown where none has ended.

    Args:
        app: the app's folder.
        settings: of the app; models with other labels are passed over, the order of the labels is no matter.
    """

    def __init__(self, app: str | Path, settings: AppSettings) -> None:
        self.folder, self.settings = Path(app) / "trainings", settings
        self._known: dict[tuple[str, int], list[str] | None] = {}

    def trainings(self) -> list[Path]:
        """Their folders, the earliest first."""
        found = self.folder.glob("[0-9]*") if self.folder.is_dir() else ()
        return sorted(
            (path for path in found if path.name.isdecimal() and path.is_dir()), key=lambda one: int(one.name)
        )

    def begin(self) -> Path:
        """A new folder, held by this process until it ends."""
        number = 1 + max((int(path.name) for path in self.trainings()), default=0)
        folder = self.folder / f"{number:04d}"
        make_folder(folder)
        hold_folder(folder)
        return folder

    def current(self) -> Path | None:
        """Weights of the model that is shown; None before the first training."""
        usable = [
            folder
            for folder in reversed(self.trainings())
            if (folder / MODEL).is_file()
            and not self.result(folder).get("worse")
            and order_of(self.settings.labels, self._labels(folder / MODEL)) is not None
            and not _runs(folder)
        ]
        shown = next(filter(self.result, usable), next(iter(usable), None))
        if shown is not None:
            return shown / MODEL
        return None if self.settings.model is None else Path(self.settings.model)

    def passed_over(self) -> dict[str, str]:
        """Trainings whose models have other labels: name of the folder -> these labels, in words."""
        models = {folder.name: folder / MODEL for folder in self.trainings() if (folder / MODEL).is_file()}
        labels = {name: self._labels(model) or ["what its file does not say"] for name, model in models.items()}
        return {name: ", ".join(own) for name, own in labels.items() if order_of(self.settings.labels, own) is None}

    def note(self, folder: Path, names: Iterable[str]) -> None:
        """Keep which studies a training learns from."""
        write_text(folder / LEARNT, json.dumps(sorted(names)))

    def learnt_from(self) -> set[str]:
        """Names of the studies that any training has learnt from."""
        found: set[str] = set()
        for folder in self.trainings():
            with suppress(OSError, ValueError, TypeError):
                found |= set(json.loads((folder / LEARNT).read_text(encoding="utf-8")))
        return found

    def result(self, folder: Path) -> dict[str, Any]:
        """What a training has found; nothing where it did not come to its end."""
        try:
            return dict(json.loads((folder / RESULT).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def conclude(self, folder: Path, result: dict[str, Any]) -> None:
        """Keep what a training has found."""
        write_text(folder / RESULT, json.dumps(result, indent=1))

    def _labels(self, weights: Path) -> list[str] | None:
        key = str(weights), weights.stat().st_mtime_ns
        if key not in self._known:
            self._known[key] = _labels_of_list(weights.parent / DATALIST) or labels_of(weights)
        return self._known[key]


def _labels_of_list(path: Path) -> list[str] | None:
    """Labels in the order of the model, by the list that it learnt from: no weights are loaded for that."""
    try:
        return in_order(json.loads(path.read_text(encoding="utf-8"))["labels"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _runs(folder: Path) -> bool:
    if not (folder / LOCK).exists():  # nothing is written to find that out, on a full disk above all
        return False
    try:
        hold_folder(folder)
    except OutputError:
        return True
    release_folder(folder)
    return False
