"""Small weights that come with medgenesis, of its own experiments on open data: found by name wherever a file is."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "experiment_files"
PREFIX = "experiment-"  # nobody shall take one for a clinical model
SAID = "EXPERIMENTAL weights of few crops of one region: no clinical model, not for diagnosis or treatment"


def experiment_names() -> list[str]:
    """The names of all."""
    return sorted(path.stem for path in FOLDER.glob(f"{PREFIX}*.pt"))


def located(weights: Any) -> Any:
    """The file of a name of `experiment_names`; all else (a path, "scratch", a mapping) as it is.

    A file of that name in the folder of work goes before.
    """
    if isinstance(weights, (str, os.PathLike)) and not Path(weights).exists():
        file = FOLDER / f"{weights}.pt"
        return str(file) if str(weights) in experiment_names() and file.is_file() else weights
    return weights


def experiment_card(name: str) -> tuple[Mapping[str, Any], str]:
    """The header (title, license, network, …) and the text of the model card of one.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in experiment_names():
        raise ValueError(f"name: must be one of {', '.join(experiment_names())}; found {name!r}. Choose one of them.")
    _, header, text = (FOLDER / f"{name}.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(header), text.strip()
