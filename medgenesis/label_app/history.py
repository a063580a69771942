"""The trainings of a label app, each in a folder of its own, and which of their models is shown."""

import json
from pathlib import Path
from typing import Any

from medgenesis.errors import OutputError
from medgenesis.label_app.app_folder import labels_of
from medgenesis.label_app.settings import AppSettings
from medgenesis.storage.atomic import make_folder, write_text
from medgenesis.storage.run_folder import hold_folder, release_folder

RESULT = "result.json"
MODEL = "model.pt"


class History:
    """The trainings of an app, `trainings/0001`, `0002` … in its folder.

    A training that runs shows nothing yet. One that has ended, or was stopped or killed, shows its best model so far;
    of these it is the latest that counts, unless it was found to be worse than the one before it.

    Args:
        app: the app's folder.
        settings: of the app; models with other labels are passed over.
    """

    def __init__(self, app: str | Path, settings: AppSettings) -> None:
        self.folder, self.settings = Path(app) / "trainings", settings
        self._known: dict[tuple[str, int], bool] = {}

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
        for folder in reversed(self.trainings()):
            weights = folder / MODEL
            if weights.is_file() and not self.result(folder).get("worse") and self._fits(weights) and not _runs(folder):
                return weights
        return None if self.settings.model is None else Path(self.settings.model)

    def result(self, folder: Path) -> dict[str, Any]:
        """What a training has found; nothing where it did not come to its end."""
        try:
            return dict(json.loads((folder / RESULT).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def conclude(self, folder: Path, result: dict[str, Any]) -> None:
        """Keep what a training has found."""
        write_text(folder / RESULT, json.dumps(result, indent=1))

    def _fits(self, weights: Path) -> bool:
        key = str(weights), weights.stat().st_mtime_ns
        if key not in self._known:
            self._known[key] = labels_of(weights) == list(self.settings.labels)
        return self._known[key]


def _runs(folder: Path) -> bool:
    try:
        hold_folder(folder)
    except OutputError:
        return True
    release_folder(folder)
    return False
