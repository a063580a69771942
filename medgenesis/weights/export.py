"""Weights of ours in a published layout, so that the programs of that layout use a model trained here."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from medgenesis.errors import CheckpointError, OutputError
from medgenesis.storage.atomic import replacing
from medgenesis.storage.checkpoint import save_checkpoint
from medgenesis.weights.contents import read_weights_file, tensors_of
from medgenesis.weights.layouts import LAYOUTS
from medgenesis.weights.layouts.backbones import backbone_of
from medgenesis.weights.layouts.layout import Layout, StateDict
from medgenesis.weights.load import check_finite
from medgenesis.weights.momentum_stage import published_stage
from medgenesis.weights.origin import in_words, kept_origin, published_origin
from medgenesis.weights.report import first_keys
from medgenesis.weights.settings import kept_settings
from medgenesis.weights.sidecar import sidecar_text

logger = logging.getLogger(__name__)

FULL = "momentum-contrast"  # the full checkpoint of Adam and CAiD: heads, key branch and queue
_WIDTH = 32  # of the published 3D networks, which have no setting for it
# parts of networks of ours that a layout has no place for
_NOT_IN = {"models-genesis": ("classifier.", "mask_tokens."), "semantic-genesis": ("mask_tokens.",)}


def export_weights(path: str | os.PathLike, layout: str, out: str | os.PathLike) -> str:
    """Write weights of ours as a published file of a layout; read back, they are the same.

    Beside it, `.json`: origin and terms of what they were trained from, and the settings.

    Args:
        path: ``models/pretrained.pt`` or another state dict, or ``last.pt`` of a run, which has heads too.
        layout: slug of the layout, or "momentum-contrast": the full checkpoint of Adam or CAiD, of a ``last.pt``.
        out: the file.

    Returns:
        What was written, and what was left out.

    Raises:
        ValueError: no such layout, or one that has no way back.
        CheckpointError: the file cannot be read, or its network is not that of the layout.
        OutputError: the file to write, or the one beside it, exists.
    """
    out = Path(out)
    beside = out.with_suffix(".json")
    refuse_existing(out, beside)
    content = read_weights_file(path)
    source = str(path)
    settings, told = kept_settings(content) or {}, {}
    method = content.get("method") if isinstance(content, Mapping) else None
    if layout == FULL:
        published, said = _full(method, source), "full checkpoint of Adam or CAiD (epoch 0, without optimiser)"
    else:
        known = _exporting(layout)
        weights = tensors_of(content, source)
        check_finite(weights, source)
        parts, left_out = _parts(known, weights, method)
        published = _published(known, parts, source)
        said = f"{known.name}: {len(parts)} tensors" + (f"; left out {first_keys(left_out)}" if left_out else "")
        _say_norm(known, settings, source)
        told = known.settings(parts)
    lost = [f"{name}={value}" for name, value in settings.items() if told.get(name, ...) != value]
    if lost:
        said += f"; settings without a place in it, in {beside.name}: {', '.join(lost)}"
    if settings.get("input_normalisation", "none") != "none":
        logger.warning(
            "%s: its network normalises its input itself (input_normalisation %s); the published one does not: do it "
            "before",
            source,
            settings["input_normalisation"],
        )
    save_checkpoint(published, out)
    origin = kept_origin(content) or {**published_origin((), {}), "title": "of medgenesis, of its own training"}
    with replacing(beside) as file:
        file.write_text(sidecar_text({"layout": layout, **origin, "settings": settings}), encoding="utf-8")
    terms = f"terms: {in_words(origin)}" if kept_origin(content) else "of our own training, without terms of others"
    return f"{source}: {said}; {terms}"


def refuse_existing(*files: Path) -> None:
    """Raise OutputError if one of the files to write is there: weights are never replaced by an export."""
    for file in files:
        if file.exists():
            raise OutputError(f"{file}: must not exist; found a file there. Name another, or remove it.")


def _exporting(slug: str) -> Layout:
    able = {layout.slug: layout for layout in LAYOUTS if layout.publish is not None}
    if slug not in able:
        raise ValueError(f"layout: must be one of {', '.join([*able, FULL])}; found {slug!r}. Choose one of them.")
    return able[slug]


def _full(method: Any, source: str) -> dict[str, Any]:
    try:
        backbone = {key.removeprefix("network.").removeprefix("encoder."): value for key, value in method.items()}
        return published_stage(method, backbone_of(backbone))
    except (KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{source}: must be last.pt of Adam or CAiD, with its queue; found no such training. Give the last.pt of "
            "the run, not its models/pretrained.pt."
        ) from error


def _parts(layout: Layout, weights: StateDict, method: Any) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """What of the weights the layout has a place for, with heads of the training where it has; and what it has not."""
    parts = dict(weights)
    held = method if isinstance(method, Mapping) else {}
    if layout.slug == "backbone":
        if any(key.startswith("encoder.") for key in weights):
            parts = {
                key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")
            }
        head = {key: value for key, value in held.items() if key.startswith("discrimination.head.")}
        several = len({key.split(".")[2] for key in head}) > 1
        for key, value in head.items():
            _, _, layer, name = key.split(".")
            parts[f"fc.{layer}.{name}" if several else f"fc.{name}"] = value
        return parts, tuple(key for key in weights if key.startswith(("decoder.", "head.")))
    if layout.slug == "semantic-genesis" and not any(key.startswith("classifier.") for key in parts):
        parts |= {key: value for key, value in held.items() if key.startswith("classifier.")}  # TransVW's, beside it
    left_out = tuple(key for key in parts if key.startswith(_NOT_IN.get(layout.slug, ("\0",))))
    return {key: value for key, value in parts.items() if key not in left_out}, left_out


def _published(layout: Layout, parts: StateDict, source: str) -> dict[str, Any]:
    """The content of the file, proven to be read back as it was."""
    network = f"{source}: must be of the network of the layout, {layout.network}"
    try:
        content = layout.publish(parts) if layout.publish else {}
        again, _ = layout.read(tensors_of(content, source), source)
    except (KeyError, ValueError, CheckpointError) as error:
        why = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise CheckpointError(
            f"{network}; found another ({why}). Choose the layout of its network; of a "
            "fine-tuned one train with head_levels=last."
        ) from error
    stem = parts.get("encoder.levels.0.0.conv.weight")
    if stem is not None and stem.shape[0] != _WIDTH:
        raise CheckpointError(
            f"{network} with {_WIDTH} channels in its first convolution, for the published program has no setting for "
            f"it; found {stem.shape[0]}. Train with width={_WIDTH}."
        )
    if stem is not None and stem.shape[1] != 1:
        raise CheckpointError(
            f"{network} with one input channel, as the published program has; found {stem.shape[1]}. Train on one "
            "channel."
        )
    if layout.slug == "caid-unet" and "_w" in str(layout.settings(parts).get("backbone")):
        raise CheckpointError(
            f"{network} with a ResNet of full width; found {layout.settings(parts)['backbone']}. Train with backbone="
            "resnet50."
        )
    lacking = [key for key in again if key not in parts or not torch.equal(again[key], parts[key])]
    if lacking or not layout.recognise(tensors_of(content, source)):
        raise CheckpointError(f"{network}; found other keys ({first_keys(lacking)}). Choose another layout.")
    return content


def _say_norm(layout: Layout, settings: Mapping[str, Any], source: str) -> None:
    if layout.slug in ("models-genesis", "semantic-genesis") and settings.get("norm") != "batch_always":
        logger.warning(
            "%s: made with norm=%s; the published program normalises by the batch at hand, always: its output is "
            "another one in evaluation",
            source,
            settings.get("norm", "unknown"),
        )
