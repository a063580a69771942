"""Weights that a task is to begin with: whether they are there is known before a volume is read."""

import os
from pathlib import Path
from typing import Any

from medgenesis.errors import CheckpointError, nearest
from medgenesis.weights.catalog import CATALOG
from medgenesis.weights.experiments import experiment_names, located
from medgenesis.weights.pretrained import SCRATCH


def check_weights(setting: str, weights: Any) -> Any:
    """The file of a name, or what was given; whether its content fits is for those who read it.

    Args:
        setting: that gives them, for the message: `init`.
        weights: a file, a name of `medgenesis.weights.experiments`, "scratch", None or a mapping (a state dict).

    Raises:
        CheckpointError: there is no such file, nor weights of that name; the nearest names of `medgenesis weights list`
            are given.
    """
    found = located(weights)
    if not isinstance(found, (str, os.PathLike)) or str(found) == SCRATCH or Path(found).is_file():
        return found
    published = [one.name for one in CATALOG]
    if str(weights) in published:
        raise CheckpointError(
            f"{setting}: must be a file, or weights that come with medgenesis; found {str(weights)!r}, published "
            f"weights that do not. `medgenesis weights list {weights}` says how to get the file; give its path."
        )
    raise CheckpointError(
        f"{setting}: must be a file with weights, scratch, or a name of `medgenesis weights list`; found "
        f"{str(weights)!r}, no such file. {nearest(str(weights), [*experiment_names(), *published])}"
        "Check the path or the name, or train first."
    )
