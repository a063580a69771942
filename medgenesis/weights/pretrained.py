"""Pre-trained weights into a network that is to be fine-tuned: all of them, or a clear error."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from medgenesis.errors import CheckpointError
from medgenesis.networks.stem import inflate_guided_stem
from medgenesis.weights.begun import note_absent, note_newly_initialised
from medgenesis.weights.catalog import candidates, is_file_of
from medgenesis.weights.contents import Tensors, read_weights_file, tensors_of
from medgenesis.weights.digests import file_digests
from medgenesis.weights.experiments import located
from medgenesis.weights.kept import FRESH, SETTINGS, kept
from medgenesis.weights.layouts.backbones import onto_encoder
from medgenesis.weights.layouts.layout import Layout, without_wrappers
from medgenesis.weights.layouts.models_genesis import strip_module
from medgenesis.weights.load import check_finite, find_layout
from medgenesis.weights.network_keys import (
    encoder_prefixes,
    fresh_keys,
    names_of_tensors,
    of_another_head,
    of_decoder_alone,
    of_parts_absent_in,
    under_all_names,
)
from medgenesis.weights.origin import kept_origin, published_origin, set_origin
from medgenesis.weights.report import WeightsReport, compare
from medgenesis.weights.seen import kept_seen, set_seen

logger = logging.getLogger(__name__)

SCRATCH = "scratch"


def load_pretrained(
    network: nn.Module,
    weights: str | os.PathLike | Mapping,
    *,
    skip_head: str = "if_needed",
    inflate_input: bool = False,
    head: str | None = None,
    parts: str = "all",
    partial: bool = False,
    tensors_only: bool = False,
) -> WeightsReport:
    """Copy pre-trained weights into a network for fine-tuning; after an error the network is as it was.

    Where both have an encoder, one may have a decoder, head or class head that the other lacks (`YNet3D` and `UNet3D`,
    with and without decoder): the network's is then left newly initialised, and the file's is dropped. A backbone alone
    (`ResNet25D`; Adam's, CAiD's and MoCo's files) becomes the encoder of a `UNet25D`, and that encoder a backbone. A
    published file promises parts of a network (`Layout.covers`: MONAI's Swin transformer that of a `SwinUNETR`): those
    must be whole, and the others start newly initialised. The report says so, and a warning if it is the decoder that
    starts anew.

    Args:
        network: the network, changed in place.
        weights: a file, a name of `medgenesis.weights.experiments`, or a file's content: a state dict, a checkpoint of
            our pre-training (``last.pt``, ``best.pt``), or a published checkpoint of a layout that ``load_published``
            knows.
        skip_head: leave the head newly initialised "if_needed" (another number of outputs, or other ``head_levels``),
            "always", or "never": then nothing is left newly initialised, a decoder that the file lacks neither. Of
            several heads (`YNet3D`) each is judged by itself.
        inflate_input: spread the weights of the file's input channels over the network's n channels, so that n equal
            channels give what equal channels gave before (`inflate_stem`): one channel over three, or the three of a
            published 2D network over the slices of a slab. Channels for clicks (`UNet3D(guidance=…)`) begin with zeros,
            so that the network answers as before, or stay as they are where the file has equally many.
        head: dotted name of the head, of a network that ``network_parts`` does not know.
        parts: "all", or "encoder": of the file nothing else is taken than what `network_parts` knows as the network's
            encoder, and everything else stays newly initialised.
        partial: take what fits, of whatever network and of a file that is not whole: keys that both have in the same
            shape. What is missing, unknown or of another shape is reported, and a warning says how much of the network
            was loaded.
        tensors_only: see ``load_published``.

    Raises:
        CheckpointError: the file cannot be read, holds weights that are not finite, or is of another network: any key
            but those named above is missing, unknown or of another shape; with ``partial``, nothing fits.
        ValueError: ``skip_head`` or ``parts`` is another word, or the network does not say where its head is, or with
            "encoder" where its encoder is.
    """
    if skip_head not in ("if_needed", "always", "never"):
        raise ValueError(
            f'skip_head: must be "if_needed", "always" or "never"; found {skip_head!r}. Choose one of them.'
        )
    if parts not in ("all", "encoder"):
        raise ValueError(f'parts: must be "all" or "encoder"; found {parts!r}. Choose one of them.')
    weights = located(weights)
    source = "the given weights" if isinstance(weights, Mapping) else str(weights)
    content = weights if isinstance(weights, Mapping) else read_weights_file(weights, tensors_only=tensors_only)
    own = network.state_dict()
    entries = tensors_of(content, source, tensors_only=tensors_only)
    found, layout, dropped = _under_our_keys(entries, own, source, partial)
    check_finite(found, source)
    found, others = onto_encoder(found, own)
    absent = of_parts_absent_in(own, found)
    if skip_head != "never":
        absent += of_another_head(own, found)
    found = {key: value for key, value in found.items() if key not in absent}
    dropped += others + absent
    made = tuple(key for key in layout.made(found) if key in found) if layout else ()
    encoder = encoder_prefixes(network) if parts == "encoder" else ("",)
    dropped += tuple(key for key in found if not key.startswith(encoder) and key not in made)
    found = {key: value for key, value in found.items() if key.startswith(encoder)}
    names = names_of_tensors(network)
    given, found = found.keys(), under_all_names(found, names)
    again, aliases = found.keys() - given, {key for _, *others in names for key in others}
    if inflate_input:
        clicked = int((kept(content, SETTINGS) or {}).get("guidance") or 0)
        found = _inflated(found, own, clicked, getattr(network, "guidance", 0))
    fresh: tuple[str, ...] = ()
    if skip_head != "never" and parts == "encoder":
        fresh = tuple(key for key in own if not key.startswith(encoder))
    elif skip_head != "never":
        fresh = fresh_keys(network, found, own, names, head=head, always=skip_head == "always")
    if layout is not None and layout.covers and skip_head != "never":
        fresh = tuple(key for key in own if key in fresh or not (key in found or key.startswith(layout.covers)))
    if skip_head != "never":  # what an import has left out, as it was not of its file
        lacking = set(kept(content, FRESH, list) or ())
        fresh = tuple(key for key in own if key in fresh or (key in lacking and key not in found))
    name = "medgenesis" if layout is None else layout.name
    made = tuple(key for key in made if key in found and key not in fresh)
    left = {"fresh": fresh, "dropped": dropped, "made": made, "again": again, "aliases": aliases}
    report = compare(found, own, source=source, layout=name, entries=len(entries), **left)
    fits = any(not key.endswith("num_batches_tracked") for key in report.matched)  # counters fit every network
    if partial and fits:
        logger.warning("%s: loaded in part, %.0f %% of the network's values. %s", source, 100 * report.share, report)
        found, fresh = {key: found[key] for key in report.matched}, tuple(set(own) - set(report.matched))
    elif partial:
        raise CheckpointError(
            f"{type(network).__name__}: must have a key and its shape in common with the file; found none of weights. "
            f"{report} Give the weights of a network like it."
        )
    elif not report.complete:
        raise CheckpointError(
            f"{type(network).__name__}: must have the weights of the file, and nothing was loaded; found a checkpoint "
            f"of another network. {report} Build the network with the settings of the pre-training (class, width, "
            "norm, channels; inflate_input=True takes another number of input channels), choose init=scratch, or take "
            "what fits: partial=True, or `medgenesis weights import FILE --partial`."
        )
    network.load_state_dict({key: own[key] if key in fresh else found[key] for key in own})
    known = kept(content, SETTINGS)  # a pretext's head gives an image, or features: it is no segmentation's
    restores = layout is not None or (known is not None and "num_classes" not in known)
    note_newly_initialised(network, own if restores else fresh)
    note_absent(network, fresh)
    set_origin(network, kept_origin(content) or _published(weights, layout, entries, plain=known is None))
    set_seen(network, kept_seen(content))
    decoder = of_decoder_alone(network, names, head)
    if parts == "all" and decoder and not decoder & {*report.matched}:
        other = any(key in decoder for key, *_ in report.mismatched)
        said = "has a decoder of another shape" if other else "has no decoder"
        logger.warning("%s %s: that of %s starts newly initialised", source, said, type(network).__name__)
    if layout is not None and layout.settings(found).get("norm") == "batch_always":
        _warn_of_other_norm(network, source)
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


def _under_our_keys(
    state_dict: Tensors, own: Mapping, source: str, partial: bool
) -> tuple[dict[str, torch.Tensor], Layout | None, tuple[str, ...]]:
    """The entries under our keys, the layout (None: our own), and the published keys that have none."""
    layout = None if {*map(without_wrappers, state_dict)} == own.keys() else find_layout(state_dict)
    if layout is None:
        return strip_module(state_dict, source), None, ()
    weights, dropped = layout.read(state_dict, source, partial=partial)
    return weights, layout, dropped


def _published(
    weights: str | os.PathLike | Mapping, layout: Layout | None, entries: Mapping[str, torch.Tensor], *, plain: bool
) -> dict | None:
    """The origin of a published file that is taken as it is; None: of our own, or not known which file it is.

    A backbone without its head has our keys as it was published. A `plain` file of such keys, without settings, is one
    by its checksum or its name alone: anyone's training may have saved the same keys.
    """
    if isinstance(weights, Mapping) or (layout is None and not plain):
        return None
    found, digests = layout or find_layout(entries), file_digests(weights)
    if found is None:
        return None
    among = candidates(weights, found, entries, found.settings(found.convert(entries)), digests)
    if layout is None:
        among = [one for one in among if is_file_of(one, weights, digests)]
        if not among:
            return None
    return published_origin(among, {"file": Path(weights).name, **digests})


def _warn_of_other_norm(network: nn.Module, source: str) -> None:
    """Published 3D networks normalise by the batch at hand, always; the keys are the same without."""
    if getattr(getattr(network, "encoder", None), "norm", None) == "batch":
        logger.warning(
            "%s was made with norm=batch_always: with norm=batch, as here, its output is another one in evaluation",
            source,
        )


def _inflated(found: dict[str, torch.Tensor], own: Mapping, clicked: int, guidance: int) -> dict[str, torch.Tensor]:
    """The same weights, those of input convolutions with the network's number of input channels.

    Args:
        found: of the file.
        own: of the network.
        clicked: how many of the file's channels are for clicks, the last.
        guidance: how many of the network's.
    """
    # networks hold their input's convolution first; some have a second one, beside it
    first = next((key for key, value in own.items() if value.ndim > 3), None)
    if first not in found or found[first].ndim != own[first].ndim:
        return found
    theirs, ours = found[first].shape[1], own[first].shape[1]

    def sees_the_input(key: str) -> bool:
        (out, channels, *kernel), wanted = found[key].shape, own[key].shape
        return channels == theirs and wanted == (out, ours, *kernel)

    if theirs - clicked != ours - guidance:
        logger.info(
            "the input: weights of %d channels are spread over %d, each the same share",
            theirs - clicked,
            ours - guidance,
        )
    if clicked != guidance:
        logger.info("the input: %d channels for clicks of the file are left out, %d begin anew", clicked, guidance)
    convolutions = {key for key, value in found.items() if key in own and value.ndim > 3 and sees_the_input(key)}
    return {
        key: inflate_guided_stem(value, ours, clicked, guidance) if key in convolutions else value
        for key, value in found.items()
    }
