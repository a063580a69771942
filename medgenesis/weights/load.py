"""Published checkpoints, recognised by their keys and brought onto the keys of our networks."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medgenesis.errors import CheckpointError
from medgenesis.storage.checkpoint import read_checkpoint
from medgenesis.weights.layouts import LAYOUTS
from medgenesis.weights.layouts.backbones import onto_encoder
from medgenesis.weights.layouts.layout import Layout, StateDict
from medgenesis.weights.report import WeightsReport, compare, first_keys

# what a method keeps for transfer is its module `network`, or that of the method to which it adds (TransVW)
_NETWORK = re.compile(r"^(method\.)*network\.")


@dataclass(frozen=True)
class LoadedWeights:
    """Converted weights and what is to be said about them."""

    state_dict: dict[str, torch.Tensor]
    report: WeightsReport


def load_published(path: str | os.PathLike, network: nn.Module | None = None) -> LoadedWeights:
    """Read a published checkpoint under the keys of our networks; no network is changed.

    Args:
        path: the published file, ``Genesis_Chest_CT.pt``, ``semantic_genesis_chest_ct.pt``, ``TransVW_chest_ct.pt``; of
            CAiD and Adam ``best_checkpoint.pth``, ``current_checkpoint.pth`` or ``checkpoint.pth``; any other with the
            keys of torchvision's ResNets and DenseNet-121, such as MoCo's.
        network: one whose keys and shapes the report compares with those of the file; between a ``ResNet25D`` and a
            ``UNet25D`` the weights are those of the backbone, under the keys of this network.

    Raises:
        CheckpointError: the file cannot be read, is of no known layout, lacks keys of a 2D layout or has others or
            other shapes, or holds weights that are not finite.
    """
    name = Path(path).name
    published = tensors_of(read_checkpoint(path), str(path))
    layout = find_layout(published)
    if layout is None:
        raise CheckpointError(
            f"{path}: must have a known layout of keys ({', '.join(known.name for known in LAYOUTS)}); found "
            f"{len(published)} keys of another (first: {first_keys(published)}). Give a published file, or a state "
            "dict of the same network."
        )
    weights, dropped = layout.read(published, str(path))
    check_finite(weights, str(path))
    if network is None:
        report = WeightsReport(name, layout.name, len(published), dropped=dropped)
    else:
        weights, others = onto_encoder(weights, network.state_dict())
        dropped += others
        report = compare(weights, network.state_dict(), source=name, layout=layout.name, dropped=dropped)
    return LoadedWeights(weights, report)


def find_layout(state_dict: StateDict) -> Layout | None:
    """The published layout of these keys, or None."""
    return next((layout for layout in LAYOUTS if layout.recognise(state_dict)), None)


def tensors_of(checkpoint: Any, source: str) -> dict[str, torch.Tensor]:
    """The state dict of a checkpoint: the network in its entry "method" (our training's `last.pt` and `best.pt`), its
    entry "state_dict" (published), or the whole of it.

    Raises:
        CheckpointError: it holds no tensors, or other things among them.
    """
    if isinstance(checkpoint, Mapping):
        method = checkpoint.get("method")
        if isinstance(method, Mapping):
            checkpoint = {_NETWORK.sub("", key): value for key, value in method.items() if _NETWORK.match(key)}
        elif isinstance(checkpoint.get("state_dict"), Mapping):
            checkpoint = checkpoint["state_dict"]
    if not isinstance(checkpoint, Mapping):
        raise _no_weights(source, type(checkpoint).__name__)
    others = [str(key) for key, value in checkpoint.items() if not isinstance(value, torch.Tensor)]
    if others or not checkpoint:
        found = f"{len(others)} of its {len(checkpoint)} entries that are no tensors ({first_keys(others)})"
        raise _no_weights(source, found if others else "an empty one")
    return dict(checkpoint)


def _no_weights(source: str, found: str) -> CheckpointError:
    return CheckpointError(
        f"{source}: must be a dictionary of weights; found {found}. Give a state dict, or a checkpoint written by "
        "training."
    )


def check_finite(weights: StateDict, source: str) -> None:
    """Raise CheckpointError if a weight is NaN or infinite."""
    bad = [key for key, value in weights.items() if not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(
            f"{source}: weights must be finite; found NaN or infinity in {len(bad)} of {len(weights)} entries "
            f"({first_keys(bad)}). Take an earlier checkpoint, or train again with a lower learning rate."
        )
