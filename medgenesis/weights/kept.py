"""Plain data among weights: in the `_metadata` of a state dict, which PyTorch keeps and networks ignore."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

SETTINGS = "medgenesis settings"  # what the network was trained with
ORIGIN = "medgenesis origin"  # which published weights it began with, and their terms
SEEN = "medgenesis seen images"  # fingerprints of all images that it was trained on
FRESH = "medgenesis newly initialised"  # keys that the file lacks by intention: nothing has been learnt there


def keep(state_dict: Mapping[str, Any], name: str, value: Any) -> Mapping[str, Any]:
    """A state dict that holds the value too; None: as it is.

    Raises:
        TypeError: the value is not of numbers, words, None, lists and mappings.
    """
    if value is None:
        return state_dict
    held = OrderedDict(state_dict)
    held._metadata = OrderedDict(getattr(state_dict, "_metadata", {}))  # type: ignore[attr-defined]
    held._metadata[name] = plain(value)  # type: ignore[attr-defined]
    return held


def kept(checkpoint: Any, name: str, kind: type = Mapping) -> Any:
    """What is kept in a state dict, or in a checkpoint of training; None: nothing of that kind."""
    if not isinstance(checkpoint, Mapping):
        return None
    for held in (checkpoint, checkpoint.get("method"), checkpoint.get("state_dict")):
        found = getattr(held, "_metadata", {}).get(name)
        if isinstance(found, kind):
            return found
    return None


def plain(value: Any) -> Any:
    """The same in lists, mappings, numbers and words of Python.

    Raises:
        TypeError: it holds something else.
    """
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"settings: must be numbers, words, lists and mappings; found {type(value).__name__}. Leave it out."
    )
