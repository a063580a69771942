"""What the tasks of one bundle share, and what a setting chooses: called by the bundles' configs."""

import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from medgenesis import __version__
from medgenesis.bundles.reading import config_folder
from medgenesis.data.json_files import read_json_object

logger = logging.getLogger(__name__)

SETTINGS = "settings.yaml"


class Settings(dict[str, Any]):
    """What the tasks of one bundle share.

    Attributes:
        folder: that of the configs.
        model: those that came with the weights.
        source: the file of the weights.
        origin: kept in it, of which published weights they are or were trained from; or None.
        mined: those that the volumes of a pattern table were prepared with.
        table: its file.
        applied: the task uses the model as it is.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        folder: Path,
        model: Mapping[str, Any] | None = None,
        mined: Mapping[str, Any] | None = None,
        applied: bool = False,
    ) -> None:
        self.model, self.mined = dict(model or {}), dict(mined or {})
        super().__init__({**values, **self.model, **self.mined})
        self.folder, self.applied = folder, applied
        self.source, self.origin = getattr(model, "source", "the model"), getattr(model, "origin", None)
        self.table = getattr(mined, "source", "the table")

    def __missing__(self, name: str) -> Any:
        raise ValueError(
            f"{self.folder / SETTINGS}: must have {name!r}, as the tasks of this version read it; found no such line. "
            "Copy the bundle again by `medgenesis bundle NAME DIR`, and take your changes over."
        )


def settings(
    bundle_root: str | Path,
    model: Mapping[str, Any] | None = None,
    mined: Mapping[str, Any] | None = None,
    *,
    applied: bool = False,
) -> Settings:
    """The numbers that the tasks of a bundle share, from the `settings.yaml` beside the config that is read.

    Each task names those that it uses, `width: $@settings['width']`, so that `--width 8` or an overlay goes before.

    Args:
        model: what the weights that the task begins with were trained with (`medgenesis.weights.settings_of`): it goes
            before the file, so that a number is typed once, for the training.
        mined: what the volumes of a pattern table were prepared with (`medgenesis.mining.prepared_as`): it goes before
            both, for the places in the table are voxels of such volumes.
        applied: the task uses the model as it is, so that all that decides what it sees must agree.
        bundle_root: the bundle, for configs whose file is not known (MONAI Label); it may be another folder, where
            results go, for those that are.

    Raises:
        ValueError: there is no such file.
    """
    from monai.bundle import ConfigParser

    folder = config_folder(bundle_root)
    path = folder / SETTINGS
    if not path.is_file():
        raise ValueError(
            f"{path}: must be there, what the tasks of the bundle share; found none. Copy a whole bundle by "
            "`medgenesis bundle NAME DIR`, and give its folder as bundle_root."
        )
    _say_version(folder)
    return Settings(ConfigParser.load_config_file(path), folder, model, mined, applied)


@lru_cache
def _say_version(folder: Path) -> None:
    """Warn of a copy that another version of medgenesis has made, as its `metadata.json` says."""
    try:
        made = read_json_object(folder / "metadata.json").get("required_packages_version", {}).get("medgenesis")
    except (OSError, ValueError, AttributeError):  # MONAI reads it, and says what is wrong with it
        return
    if made not in (None, __version__):
        logger.warning(
            "%s: made for medgenesis %s, and %s is installed; where a task fails, copy the bundle again (`medgenesis "
            "bundle NAME DIR`) and take your changes over",
            folder.parent,
            made,
            __version__,
        )


def chosen(setting: str, choice: str, among: Mapping[str, Any]) -> Any:
    """What a config's setting names, of what the config has under these names.

    Raises:
        ValueError: it has none of that name.
    """
    if choice not in among:
        raise ValueError(f"{setting}: must be one of {', '.join(among)}; found {choice!r}. Choose one of them.")
    return among[choice]
