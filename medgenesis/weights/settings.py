"""What a network was trained with, kept among its weights: the defaults of every task after it, as nnU-Net's plans.

It is plain data in the `_metadata` of the state dict, which PyTorch keeps and networks ignore: whoever loads the file,
MONAI Label for example, finds an ordinary state dict, and the file alone is the model.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.errors import CheckpointError
from medgenesis.weights.catalog import candidates
from medgenesis.weights.contents import read_weights_file, tensors_of
from medgenesis.weights.experiments import located
from medgenesis.weights.kept import ORIGIN, SEEN, SETTINGS, keep, kept
from medgenesis.weights.layouts.layout import Layout, StateDict
from medgenesis.weights.load import find_layout
from medgenesis.weights.pretrained import SCRATCH

logger = logging.getLogger(__name__)


class ModelSettings(dict[str, Any]):
    """What `settings_of` has found, by name.

    Attributes:
        source: the file, for messages.
        origin: kept in it (`medgenesis.weights.origin`); None: not known, or of our own training.
    """

    def __init__(self, values: Mapping[str, Any], source: str, origin: Mapping[str, Any] | None = None) -> None:
        super().__init__(values)
        self.source, self.origin = source, origin


def with_settings(
    state_dict: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    origin: Mapping[str, Any] | None = None,
    seen: Sequence[str] | None = None,
) -> Mapping[str, Any]:
    """A state dict that holds what its network was trained with; None: as it is.

    Args:
        state_dict: of the network.
        settings: numbers, words, None, and lists and mappings of them.
        origin: of the published weights that it began with (`medgenesis.weights.origin`), which have terms.
        seen: fingerprints of the images that it was trained on (`medgenesis.weights.seen`).

    Raises:
        TypeError: another value.
    """
    return keep(keep(keep(state_dict, SETTINGS, settings), ORIGIN, origin), SEEN, seen)


def settings_of(init: str | os.PathLike | None) -> ModelSettings:
    """What the network of a checkpoint was trained with; of "scratch" (or None), and of an absent file, nothing.

    A file without settings gives those that its published layout implies, or none, which is said.

    Args:
        init: a file with weights, or a name of `medgenesis.weights.experiments`.
    """
    init = located(init)
    if init is None or str(init) == SCRATCH or not Path(init).is_file():
        return ModelSettings({}, str(init))
    origin = None
    try:
        checkpoint = read_weights_file(init)
        found, origin = kept_settings(checkpoint), kept(checkpoint, ORIGIN)
        if found is None:
            state_dict = tensors_of(checkpoint, str(init))
            layout = find_layout(state_dict)
            found = {} if layout is None else _known_of(layout, state_dict, init)
            known = (
                f"known of {layout.name}: {found}"
                if found
                else "it is the settings typed, and those of the bundle, that count"
            )
            logger.warning("%s: the settings of its training are not in the file; %s", init, known)
        else:
            logger.info("%s: made with %s", init, ", ".join(f"{name} {_short(value)}" for name, value in found.items()))
    except (CheckpointError, KeyError):  # said by whoever loads the weights, with the remedy
        found = {}
    return ModelSettings(found, str(init), origin)


def _known_of(layout: Layout, state_dict: StateDict, init: str | os.PathLike) -> dict[str, Any]:
    """What the shapes of a whole published file tell, and what all models of the catalogue that it may be agree in."""
    known = dict(layout.settings(layout.read(state_dict, str(init))[0]))
    among = candidates(Path(init), layout, state_dict, known, {})
    for name in {name for entry in among for name in entry.settings}:
        values = {entry.name: entry.settings.get(name) for entry in among}
        first = next(iter(values.values()))
        if all(value == first for value in values.values()):
            known[name] = first
        elif name == "input_normalisation":
            told = ", ".join(f"{entry}: {value}" for entry, value in values.items())
            logger.warning("%s: its keys do not tell its input_normalisation (%s): type it", init, told)
    return known


def kept_settings(checkpoint: Any) -> dict[str, Any] | None:
    """The settings that are kept in a state dict, or in a checkpoint of training; None: there are none."""
    found = kept(checkpoint, SETTINGS)
    return None if found is None else dict(found)


def _short(value: Any) -> str:
    """A value for a line of the log; of a large one its beginning."""
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}…"
