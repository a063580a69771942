"""Prepared cases are kept: what takes seconds a patient to read is read once."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.evidence.sets import Case
from medgenesis.storage import fingerprint, read_checkpoint, save_checkpoint


def data_folder() -> Path:
    """Where the sets lie: MEDGENESIS_DATA, else ../shared/data beside the checkout."""
    return Path(os.environ.get("MEDGENESIS_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


def in_order(folder: Path) -> list[Path]:
    """The files of a folder by name."""
    return sorted(path for path in folder.iterdir() if path.is_file())


def kept_cases(
    folder: Path, made_of: Mapping[str, str], read: Callable[[], dict[str, list[Case]]]
) -> dict[str, list[Case]]:
    """The cases of each section, from `folder` where they were prepared before from the same, else by `read`.

    Args:
        folder: of the files.
        made_of: what decides the cases: how they are prepared, and the fingerprint of their files.
        read: prepares them.
    """
    path = folder / f"{fingerprint(dict(made_of))[:16]}.pt"
    if not path.exists():
        save_checkpoint({name: [asdict(case) for case in cases] for name, cases in read().items()}, path)
    return {name: [Case(**case) for case in cases] for name, cases in read_checkpoint(path).items()}
