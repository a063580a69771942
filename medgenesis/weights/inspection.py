"""A file of weights, looked at: which layout, whether it is whole, which published model it may be."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from medgenesis.errors import CheckpointError
from medgenesis.weights.catalog import Published, candidates
from medgenesis.weights.contents import Tensors, read_weights_file, tensors_of
from medgenesis.weights.digests import file_digests
from medgenesis.weights.experiments import located
from medgenesis.weights.kept import FRESH, kept
from medgenesis.weights.layouts.layout import Layout
from medgenesis.weights.layouts.models_genesis import strip_module
from medgenesis.weights.layouts.nnssl import is_fold
from medgenesis.weights.load import check_finite, find_layout, known_layout
from medgenesis.weights.origin import kept_origin
from medgenesis.weights.own_networks import own_network
from medgenesis.weights.report import WeightsReport
from medgenesis.weights.settings import kept_settings


@dataclass(frozen=True)
class Inspected:
    """What a file is.

    Args:
        path: the file.
        digests: kind -> checksum.
        entries: its entries, under its own keys.
        layout: its published layout; None: of our own training, or (where that was allowed) of any network.
        weights: under our keys.
        report: what was dropped and made.
        settings: what is known of the training.
        among: the models of the catalogue that it may be.
        possible: all whose keys, network and checksum do not contradict it, whatever its name.
        ours: it is of our own training, or an import.
        told: what a published file says of its network and its images besides (`Layout.tells`).
        network: of ours, whose weights it has, but for those `lacking`; "": not told.
        lacking: of an import, the network's keys that its file did not have.
        origin: of ours, the published weights that it began with (`medgenesis.weights.origin`).
    """

    path: Path
    digests: Mapping[str, str]
    entries: Tensors
    layout: Layout | None
    weights: Mapping[str, torch.Tensor]
    report: WeightsReport
    settings: Mapping[str, Any]
    among: tuple[Published, ...]
    possible: tuple[Published, ...] = ()
    ours: bool = False
    origin: Mapping[str, Any] | None = None
    network: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()

    @property
    def extent(self) -> str:
        """In words how much of its network it has: whole, or what not."""
        parts = {key.partition(".")[0] for key in self.weights}
        if parts == {"encoder"}:
            return "encoder alone"
        if self.lacking:
            return f"in part: {len(self.lacking)} tensors not in the file"
        return "whole but for its head" if "decoder" in parts and self.layout and "head" not in parts else "whole"

    @property
    def values(self) -> int:
        """Numbers in its weights, buffers included."""
        return sum(value.numel() for value in self.weights.values())


def inspect_weights(
    path: str | os.PathLike, *, tensors_only: bool = False, any_network: bool = False, partial: bool = False
) -> Inspected:
    """Recognise a file, convert its keys, and check that it is whole; nothing is written.

    Args:
        path: a published file, one of our training, or a name of `medgenesis.weights.experiments`.
        tensors_only: see ``load_published``.
        any_network: keys of no known layout pass: whoever loads them compares them with a network.
        partial: an incomplete file of a known layout passes.

    Raises:
        CheckpointError: it cannot be read, is of no known layout, not whole, or holds weights that are not finite.
    """
    path = Path(located(path))
    content = read_weights_file(path, tensors_only=tensors_only)
    entries = tensors_of(content, str(path), tensors_only=tensors_only)
    if is_fold(entries):
        raise CheckpointError(
            f"{path}: must be weights of a pre-training; found a fold of nnU-Net v2. Give it to `medgenesis nnunet "
            "import`, which takes its decoder and its plans, too."
        )
    own = kept_settings(content)
    digests = file_digests(path)
    ours = own is not None or _ours(content) or kept_origin(content) is not None
    layout = None if ours else find_layout(entries)
    if layout is None:
        weights = entries if ours else strip_module(entries, str(path))
        lacking = tuple(key for key in kept(content, FRESH, list) or () if key not in weights)
        network = own_network(weights, path.name, lacking)
        if network is None and not (any_network or ours):
            known_layout(entries, str(path))  # which says that there is none
        check_finite(entries, str(path))
        report = WeightsReport(path.name, "medgenesis" if ours else "no known layout", len(entries))
        if network is not None and not (network.report.complete or any_network or ours):
            raise CheckpointError(
                f"{path}: must be a whole state dict of {network.name}, which its keys come closest to; found another. "
                f"{network.report} Give the file as it was saved, or take what fits: import with --partial."
            )
        told = network.settings if network and own is None else own or {}
        name = network.name if network and network.report.complete else ""
        report = network.report if network and name else report
        among: tuple[Published, ...] = ()
        origin = kept_origin(content)
        return Inspected(
            path, digests, entries, None, weights, report, told, among, among, ours, origin, name, lacking=lacking
        )
    weights, dropped = layout.read(entries, str(path), partial=partial)
    if not any_network:  # else the comparison with the network tells
        layout.check_whole(weights, dropped, str(path))
    check_finite(weights, str(path))
    report = WeightsReport(path.name, layout.name, len(entries), dropped=dropped, made=layout.made(weights))
    known = dict(layout.settings(weights))
    among = tuple(candidates(path, layout, entries, known, digests))
    possible = tuple(candidates("", layout, entries, known, digests))
    told = layout.tells(entries)
    return Inspected(path, digests, entries, layout, weights, report, known, among, possible, told=told)


def _ours(content: Any) -> bool:
    """Whether it is a checkpoint of our training without settings, as earlier versions wrote them."""
    return isinstance(content, Mapping) and isinstance(content.get("method"), Mapping)
