"""From a file to a state dict: whatever kind of file it is, and wherever in its content the weights stand."""

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medgenesis.errors import CheckpointError
from medgenesis.storage.checkpoint import read_checkpoint
from medgenesis.weights.h5_file import is_h5, read_h5
from medgenesis.weights.layouts.byol import haiku_arrays
from medgenesis.weights.layouts.layout import renamed, wrapped_once
from medgenesis.weights.report import first_keys
from medgenesis.weights.tensors_only import StandIn, read_tensors_only

logger = logging.getLogger(__name__)

# what a method keeps for transfer is its module `network`, or that of the method to which it adds (TransVW)
_NETWORK = re.compile(r"^(method\.)*network\.")
# entries of published checkpoints under which the weights stand, in the order in which they are looked for
CONTAINERS = ("state_dict", "network_weights", "model", "model_state_dict", "resnet", "net", "teacher", "student")


class Tensors(dict[str, torch.Tensor]):
    """A state dict out of a file.

    Attributes:
        beside: the other entries of the checkpoint: an epoch, an adaptation plan, the state of an optimiser.
    """

    def __init__(self, tensors: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> None:
        super().__init__(tensors)
        self.beside = dict(beside or {})


def read_weights_file(path: str | os.PathLike, *, tensors_only: bool = False) -> Any:
    """The content of a file with weights: a checkpoint of torch, or HDF5 as Keras writes it.

    Args:
        path: the file.
        tensors_only: of a pickle that holds foreign objects build tensors and arrays alone, and stand-ins for the rest
            (see `read_tensors_only`, also for what it risks); else such a file is refused.

    Raises:
        CheckpointError: it cannot be read; what it is instead is said.
    """
    if Path(path).is_file() and is_h5(path):
        return read_h5(path)
    if not tensors_only:
        return read_checkpoint(path)
    content = read_tensors_only(path)
    try:
        return _plain(haiku_arrays(content) or content)
    except RecursionError:
        raise CheckpointError(
            f"{path}: must be a checkpoint; found objects that hold each other, a network that refers to itself. Load "
            "it where you trust it, and save its weights alone: torch.save(network.state_dict(), path)."
        ) from None


def tensors_of(checkpoint: Any, source: str, *, tensors_only: bool = False) -> Tensors:
    """The state dict of a checkpoint: the network in its entry "method" (our training's `last.pt` and `best.pt`), one
    of the entries `CONTAINERS` (published), or the whole of it. Of what wraps keys (`module.module.`, `_orig_mod.`) one
    ``module.`` is left.

    Args:
        checkpoint: the content of a file.
        source: the file, for messages.
        tensors_only: pass over entries that are no tensors, with a warning.

    Raises:
        CheckpointError: it holds no tensors, or other things among them, or a key with and without a wrapper.
    """
    beside: Mapping[str, Any] = {}
    if isinstance(checkpoint, Mapping):
        method = checkpoint.get("method")
        container = next((name for name in CONTAINERS if isinstance(checkpoint.get(name), Mapping)), None)
        if isinstance(method, Mapping):
            checkpoint = {_NETWORK.sub("", key): value for key, value in method.items() if _NETWORK.match(key)}
        elif container is not None:
            beside = {key: value for key, value in checkpoint.items() if key != container}
            checkpoint = checkpoint[container]
            several = [key for key, value in beside.items() if _is_state_dict(value)]
            if several:
                logger.warning(
                    "%s: of several networks in it that of its entry %s is taken; dropped: %s",
                    source,
                    container,
                    first_keys(map(str, several)),
                )
    if not isinstance(checkpoint, Mapping):
        raise _no_weights(source, type(checkpoint).__name__)
    odd = [key for key in checkpoint if not isinstance(key, str)]
    if odd:
        raise _no_weights(source, f"{len(odd)} of its {len(checkpoint)} keys that are no words ({odd[0]!r})")
    others = [str(key) for key, value in checkpoint.items() if not isinstance(value, torch.Tensor)]
    if others and tensors_only and len(others) < len(checkpoint):
        logger.warning("%s: passed over, as no tensors: %d entries (%s)", source, len(others), first_keys(others))
        checkpoint = {key: value for key, value in checkpoint.items() if str(key) not in others}
        others = []
    if others or not checkpoint:
        found = f"{len(others)} of its {len(checkpoint)} entries that are no tensors ({first_keys(others)})"
        raise _no_weights(source, found if others else "an empty one")
    return Tensors(renamed(checkpoint, wrapped_once, source), beside)


def _is_state_dict(value: Any) -> bool:
    """Whether it is a mapping of tensors; of an optimiser, whose state has other things too, it is not."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(one, torch.Tensor) for one in value.values())


def _no_weights(source: str, found: str) -> CheckpointError:
    return CheckpointError(
        f"{source}: must be a dictionary of weights; found {found}. Give a state dict, or a checkpoint written by "
        "training."
    )


def _plain(value: Any) -> Any:
    """What was read, with the state dict of a module in the place of its stand-in, and tensors in that of arrays."""
    if isinstance(value, StandIn):
        return _state_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return torch.from_numpy(value.astype(value.dtype.newbyteorder("=")))
    return value.detach() if isinstance(value, torch.Tensor) else value


def _state_dict(module: StandIn) -> Any:
    """The parameters and buffers of a module that was pickled whole, by their dotted names; of another object: it."""
    held = module.state
    if not isinstance(held, Mapping) or not {"_parameters", "_buffers", "_modules"} <= held.keys():
        return module
    passing = held.get("_non_persistent_buffers_set") or ()
    found = {
        str(name): value.detach()
        for kind in ("_parameters", "_buffers")
        for name, value in held[kind].items()
        if isinstance(value, torch.Tensor) and not (kind == "_buffers" and name in passing)
    }
    for name, child in held["_modules"].items():
        inside = _state_dict(child) if isinstance(child, StandIn) else {}
        if isinstance(inside, Mapping):
            found |= {f"{name}.{key}": value for key, value in inside.items()}
    return found
