"""Under whose terms the weights of a bundle stand: of each file what it began with."""

from pathlib import Path
from typing import Any

from medgenesis.storage.checkpoint import read_checkpoint
from medgenesis.weights.kept import ORIGIN, kept


def origins_in(models: str | Path) -> dict[str, dict[str, Any] | None]:
    """Of each file of weights (`*.pt`) in a folder the published weights that it is of, or was trained from.

    Args:
        models: the folder.

    Returns:
        Name of the file -> its origin (`medgenesis.weights.origin`); None: it holds none, as of a training from
        scratch.

    Raises:
        CheckpointError: a file cannot be read.
    """
    found = {path.name: kept(read_checkpoint(path), ORIGIN) for path in sorted(Path(models).glob("*.pt"))}
    return {name: None if origin is None else dict(origin) for name, origin in found.items()}
