"""A model of an earlier run is kept, not replaced."""

import logging
import os
import shutil
from pathlib import Path

from medgenesis.storage.atomic import make_folder, replacing
from medgenesis.storage.fingerprints import file_fingerprint

logger = logging.getLogger(__name__)


def keep_earlier(weights: str | Path, folder: str | Path) -> Path | None:
    """Keep a file of weights that a new run is about to replace, under its name, with a number where there are several.

    What stands beside it and tells its origin (the same name, `.json`) goes with it, and stays beside no others.

    Args:
        weights: the file; absent, nothing is done.
        folder: receives it; made if absent.

    Returns:
        The file kept: a second name of the same bytes where the file system allows that, else a copy. None: no file.

    Raises:
        OutputError: it cannot be written.
    """
    weights, folder = Path(weights), Path(folder)
    if not weights.is_file():
        return None
    make_folder(folder)
    kept = folder / weights.name
    number = 1
    while kept.exists():
        if kept.samefile(weights) or file_fingerprint(kept) == file_fingerprint(weights):
            _move_beside(weights, kept)
            return kept
        number += 1
        kept = folder / f"{weights.stem}_{number}{weights.suffix}"
    with replacing(kept) as beside:
        try:
            os.link(weights, beside)
        except OSError:  # another disk, or a file system without second names
            shutil.copyfile(weights, beside)
    _move_beside(weights, kept)
    logger.info("%s is of an earlier run: kept as %s", weights, kept)
    return kept


def _move_beside(weights: Path, kept: Path) -> None:
    beside = weights.with_suffix(".json")
    if weights.suffix == ".pt" and beside.is_file():
        beside.replace(kept.with_suffix(".json"))
