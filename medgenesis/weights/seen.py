"""Which images a network was trained on: fingerprints among its weights, so that a test on them is noticed."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from medgenesis.data.datalists import read_datalist, with_channels
from medgenesis.data.image_fingerprints import all_fingerprints
from medgenesis.data.records import files_of
from medgenesis.errors import CheckpointError, first_few
from medgenesis.losses.ranks import rank
from medgenesis.weights.contents import read_weights_file
from medgenesis.weights.experiments import located
from medgenesis.weights.kept import SEEN, kept

logger = logging.getLogger(__name__)

_NAME = "weights_seen"  # of the attribute by which a network carries them through its training
_SHOWN = 5  # files in a message


def kept_seen(checkpoint: Any) -> list[str]:
    """The fingerprints (`image_fingerprints`) kept in a checkpoint; none where it is of others, or of before."""
    return list(kept(checkpoint, SEEN, list) or ())


def set_seen(network: nn.Module, seen: Iterable[str]) -> None:
    """Let a network carry the fingerprints of all images that its weights are made of."""
    setattr(network, _NAME, frozenset(seen))


def seen_of(module: nn.Module) -> list[str] | None:
    """The fingerprints that a network, or a part of a method, carries, sorted; None: there are none."""
    return sorted({one for part in module.modules() for one in part.__dict__.get(_NAME, ())}) or None


def note_seen(network: nn.Module, seen: Iterable[str]) -> None:
    """Add the fingerprints of the images that a network is trained on."""
    set_seen(network, {*(seen_of(network) or ()), *seen})


def warn_of_seen(
    init: str | os.PathLike | None,
    datalist: str | Path | Sequence[Mapping[str, Any]],
    sections: Sequence[str] = ("validation", "test"),
) -> dict[str, list[str]]:
    """Warn where weights were trained, with labels or without, on images of sections that are to judge them.

    Nothing is said of weights that do not tell what they were trained on: published ones, and those of before. An image
    is told by `image_fingerprints`: neither a converted copy is noticed nor another scan of the same patient, for which
    `medgenesis datalist --check` compares two lists.

    Args:
        init: a file with weights, a name of `medgenesis weights list`, or "scratch".
        datalist: a list; absent (MONAI Label gives records of its own): nothing is compared. Or records, all of which
            count as of one section, "given".
        sections: of a list; those that it lacks are passed over.

    Returns:
        The files of each section that were trained on, of each image the first.
    """
    if rank():  # the first process says it
        return {}
    seen = _seen_by(init)
    listed = isinstance(datalist, (str, os.PathLike))
    if not seen or (listed and not Path(datalist).is_file()):
        return {}
    whole, found = with_channels(read_datalist(datalist)) if listed else {"given": datalist}, {}
    for section in sections if listed else whole:
        records, where = whole.get(section, []), f"{section!r} in {datalist}" if listed else "those given"
        told = zip(records, all_fingerprints(records), strict=True)
        own = [files_of(record)[0] for record, prints in told if not seen.isdisjoint(prints)]
        if own:
            found[section] = own
            logger.warning(
                "%s: was trained on %d of the %d scans of %s, so that figures of these are not of unseen patients"
                " (%s). Pre-train on a list without them: one list made with --labels serves pre-training and "
                "fine-tuning, and `medgenesis datalist --check` compares two.",
                *(init, len(own), len(records), where, first_few(own, _SHOWN)),
            )
    return found


def _seen_by(init: str | os.PathLike | None) -> frozenset[str]:
    init = located(init)
    if init is None or not Path(init).is_file():  # from scratch
        return frozenset()
    try:
        return frozenset(kept_seen(read_weights_file(init)))
    except CheckpointError:  # said by whoever loads the weights
        return frozenset()
