"""Under whose terms the weights of a bundle stand: of each file what it is of, or began with."""

from pathlib import Path
from typing import Any

from medgenesis.errors import CheckpointError
from medgenesis.weights.inspection import inspect_weights
from medgenesis.weights.origin import published_origin
from medgenesis.weights.sidecar import source_of

_WEIGHTS = (".pt", ".pth", ".tar", ".pkl", ".model", ".h5")  # as published files and ours end


def origins_in(models: str | Path) -> dict[str, dict[str, Any] | None]:
    """Of each file of weights in a folder the published weights that it is of, or was trained from.

    Args:
        models: the folder.

    Returns:
        Name of the file -> its origin (`medgenesis.weights.origin`); None: it holds none, as of a training from
        scratch.

    Raises:
        CheckpointError: a file cannot be read.
    """
    files = sorted(path for path in Path(models).glob("*") if path.suffix in _WEIGHTS)
    return {path.name: _origin(path) for path in files}


def _origin(path: Path) -> dict[str, Any] | None:
    try:
        found = inspect_weights(path, any_network=True, partial=True)
    except CheckpointError:  # of foreign objects, BYOL's
        found = inspect_weights(path, tensors_only=True, any_network=True, partial=True)
    if found.ours or found.network:  # what ours has begun with is kept in it
        return None if found.origin is None else dict(found.origin)
    return published_origin(found.among or found.possible, source_of(path, found.digests))
