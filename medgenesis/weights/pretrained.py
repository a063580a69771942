"""Pre-trained weights into a network that is to be fine-tuned: all of them, or a clear error."""

import logging
import os
from collections.abc import Mapping

import torch
from torch import nn

from medgenesis.errors import CheckpointError
from medgenesis.networks.parts import network_parts
from medgenesis.weights.checkpoint import read_checkpoint
from medgenesis.weights.models_genesis import strip_module
from medgenesis.weights.published import check_finite, find_layout, tensors_of
from medgenesis.weights.report import WeightsReport, compare

logger = logging.getLogger(__name__)

SCRATCH = "scratch"
# what networks with an `encoder` may have or lack: an encoder-only one has no decoder, YNet3D alone classifies patterns
_OPTIONAL_PARTS = ("decoder.", "head.", "classifier.")


def load_pretrained(
    network: nn.Module,
    weights: str | os.PathLike | Mapping,
    *,
    skip_head: str = "if_needed",
    inflate_input: bool = False,
    head: str | None = None,
) -> WeightsReport:
    """Copy pre-trained weights into a network for fine-tuning; after an error the network is as it was.

    Where both have an encoder, one may have a decoder, head or class head that the other lacks (`YNet3D` and `UNet3D`,
    with and without decoder): the network's is then left newly initialised, and the file's is dropped. The report says
    so, and a warning if it is the decoder that starts anew.

    Args:
        network: the network, changed in place.
        weights: a file or its content: a state dict, a checkpoint of our pre-training (``last.pt``, ``best.pt``), or a
            published checkpoint of a layout that ``load_published`` knows.
        skip_head: leave the head newly initialised "if_needed" (its shape differs: another number of outputs),
            "always", or "never": then nothing is left newly initialised, a decoder that the file lacks neither. Of
            several heads (`YNet3D`) each is judged by itself.
        inflate_input: spread the weights of a one-channel input over the network's n channels (repeated, divided by n,
            so that n equal channels give what one gave).
        head: dotted name of the head, of a network that ``network_parts`` does not know.

    Raises:
        CheckpointError: the file cannot be read, holds weights that are not finite, or is of another network: any key
            but those named above is missing, unknown or of another shape.
        ValueError: ``skip_head`` is none of the three, or the network does not say where its head is.
    """
    if skip_head not in ("if_needed", "always", "never"):
        raise ValueError(f'skip_head: must be "if_needed", "always" or "never"; found {skip_head!r}.')
    source = "the given weights" if isinstance(weights, Mapping) else str(weights)
    content = weights if isinstance(weights, Mapping) else read_checkpoint(weights)
    found, layout, dropped = _under_our_keys(tensors_of(content, source))
    check_finite(found, source)
    own = network.state_dict()
    dropped += _of_parts_absent_in(own, found)
    found = {key: value for key, value in found.items() if key not in dropped}
    if inflate_input:
        found = {key: _inflated(value, own.get(key)) for key, value in found.items()}
    fresh = () if skip_head == "never" else _fresh(network, found, own, head=head, always=skip_head == "always")
    report = compare(found, own, source=source, layout=layout, fresh=fresh, dropped=dropped)
    if not report.complete:
        raise CheckpointError(
            f"checkpoint of another network, nothing was loaded into {type(network).__name__}. {report} Build the "
            "network with the settings of the pre-training (class, width, norm, channels), or choose init=scratch."
        )
    network.load_state_dict({key: own[key] if key in fresh else found[key] for key in own})
    if any(key.startswith("decoder.") for key in fresh):
        logger.warning("%s has no decoder: that of %s starts newly initialised", source, type(network).__name__)
    return report


def initialise(network: nn.Module, init: str | os.PathLike | Mapping | None = SCRATCH, **options) -> nn.Module:
    """The same network, holding the weights of ``init``, or as it is where ``init`` is "scratch" (or None).

    Args:
        network: the network, changed in place.
        init: "scratch", or what ``load_pretrained`` takes.
        options: of ``load_pretrained``.

    Raises:
        CheckpointError: as ``load_pretrained``; training never starts from scratch unasked.
    """
    if init is None or (isinstance(init, str) and init == SCRATCH):
        logger.info("%s starts from scratch.", type(network).__name__)
    else:
        logger.info("%s starts from %s", type(network).__name__, load_pretrained(network, init, **options))
    return network


def _under_our_keys(state_dict: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], str, tuple[str, ...]]:
    """The entries under our keys, the name of the layout, and the published keys that have none."""
    layout = find_layout(state_dict)
    if layout is None:
        return strip_module(state_dict), "medgenesis", ()
    return layout.convert(state_dict), layout.name, layout.dropped(state_dict)


def _of_parts_absent_in(other: Mapping, keys: Mapping) -> tuple[str, ...]:
    """Those of ``keys`` that are of an optional part of which ``other`` has nothing, where both have an encoder."""
    if not all(any(key.startswith("encoder.") for key in side) for side in (other, keys)):
        return ()
    absent = tuple(part for part in _OPTIONAL_PARTS if not any(key.startswith(part) for key in other))
    return tuple(key for key in keys if key.startswith(absent))


def _fresh(network: nn.Module, found: Mapping, own: Mapping, *, head: str | None, always: bool) -> tuple[str, ...]:
    """The keys that are to stay newly initialised: of heads that do not fit, and of parts that the file lacks.

    All keys of a head, for half a head would fit neither task.
    """
    fresh = set(_of_parts_absent_in(found, own))
    for name in network_parts(network, head=head).heads:
        keys = [key for key in own if key.startswith(f"{name}.")]
        if always or any(key in found and found[key].shape != own[key].shape for key in keys):
            fresh.update(keys)
    return tuple(key for key in own if key in fresh)


def _inflated(value: torch.Tensor, wanted: torch.Tensor | None) -> torch.Tensor:
    """The weight of an input convolution on one channel, spread over the n channels of ``wanted``; others unchanged."""
    if wanted is None or value.ndim < 3 or value.ndim != wanted.ndim or value.shape[1] != 1:
        return value
    channels = wanted.shape[1]
    if channels == 1 or value.shape[0] != wanted.shape[0] or value.shape[2:] != wanted.shape[2:]:
        return value
    return value.repeat_interleave(channels, dim=1) / channels
