"""Published checkpoints, recognised by their keys and brought onto the keys of our networks."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from medgenesis.errors import CheckpointError
from medgenesis.weights.contents import read_weights_file, tensors_of
from medgenesis.weights.layouts import LAYOUTS
from medgenesis.weights.layouts.backbones import onto_encoder
from medgenesis.weights.layouts.layout import Layout, StateDict
from medgenesis.weights.report import WeightsReport, compare, first_keys


@dataclass(frozen=True)
class LoadedWeights:
    """Converted weights and what is to be said about them."""

    state_dict: dict[str, torch.Tensor]
    report: WeightsReport


def load_published(
    path: str | os.PathLike, network: nn.Module | None = None, *, tensors_only: bool = False
) -> LoadedWeights:
    """Read a published checkpoint under the keys of our networks; no network is changed.

    Args:
        path: the published file; ``medgenesis weights list`` says which there are.
        network: one whose keys and shapes the report compares with those of the file; between a ``ResNet25D`` and a
            ``UNet25D`` the weights are those of the backbone, under the keys of this network.
        tensors_only: also read a pickle with foreign objects, of which tensors and arrays alone are built
            (``read_tensors_only``): BYOL's.

    Raises:
        CheckpointError: the file cannot be read, is of no known layout, lacks keys of a 2D layout or has others or
            other shapes, has unknown keys where no network is given to compare with, or holds weights that are not
            finite.
    """
    name = Path(path).name
    published = tensors_of(read_weights_file(path, tensors_only=tensors_only), str(path), tensors_only=tensors_only)
    layout = known_layout(published, str(path))
    weights, dropped = layout.read(published, str(path))
    check_finite(weights, str(path))
    made = layout.made(weights)
    if network is None:
        layout.check_known(weights, str(path))
        report = WeightsReport(name, layout.name, len(published), dropped=dropped, made=made)
    else:
        weights, others = onto_encoder(weights, network.state_dict())
        dropped += others
        report = compare(weights, network.state_dict(), source=name, layout=layout.name, dropped=dropped, made=made)
    return LoadedWeights(weights, report)


def known_layout(state_dict: StateDict, source: str) -> Layout:
    """The published layout of these keys.

    Raises:
        CheckpointError: they are of none.
    """
    layout = find_layout(state_dict)
    if layout is None:
        raise CheckpointError(
            f"{source}: must have a known layout of keys ({', '.join(known.name for known in LAYOUTS)}); found "
            f"{len(state_dict)} keys of another (first: {first_keys(state_dict)}). Give a published file, or a state "
            "dict of the same network."
        )
    return layout


def find_layout(state_dict: StateDict) -> Layout | None:
    """The published layout of these keys, or None."""
    return next((layout for layout in LAYOUTS if layout.recognise(state_dict)), None)


def check_finite(weights: StateDict, source: str) -> None:
    """Raise CheckpointError if a weight is NaN or infinite, or no dense float."""
    odd = [
        key
        for key, value in weights.items()
        if value.layout is not torch.strided
        or value.is_complex()
        or (key.endswith((".weight", ".bias")) and not value.is_floating_point())  # buffers may count
    ]
    if odd:
        raise CheckpointError(
            f"{source}: weights must be dense floats; found sparse, complex or whole numbers in {len(odd)} of "
            f"{len(weights)} entries ({first_keys(odd)}). Save them as dense floats."
        )
    bad = [key for key, value in weights.items() if not torch.isfinite(value).all()]
    if bad:
        raise CheckpointError(
            f"{source}: weights must be finite; found NaN or infinity in {len(bad)} of {len(weights)} entries "
            f"({first_keys(bad)}). Take an earlier checkpoint, or train again with a lower learning rate."
        )
