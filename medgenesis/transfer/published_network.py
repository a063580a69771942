"""The network that a file of weights is of, by its keys, its settings and the catalogue."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.networks.nets import DynUNet, SwinUNETR
from torch import nn

from medgenesis.errors import CheckpointError
from medgenesis.networks import ResNet25D, UNet3D
from medgenesis.weights import dynunet_settings, swin_settings
from medgenesis.weights.catalog import OTHER, published
from medgenesis.weights.inspection import Inspected, inspect_weights
from medgenesis.weights.layouts.backbones import backbone_of, slices_of

_SEEN = ("input_normalisation", "intensity", "size", "cube_size", "spacing_mm")  # what decides what a network sees


def network_of_file(
    path: Path, entry: str | None = None, *, tensors_only: bool = False
) -> tuple[nn.Module, dict[str, Any], dict[str, Any]]:
    """The network, newly initialised, what is known of its training, and what results say of the file.

    Args:
        path: a published file, or weights of our training.
        entry: which model of the catalogue it is, or "other".
        tensors_only: see `load_published`.

    Raises:
        CheckpointError: no file of weights; of several models that see their images differently, and none is named; of
            a network that cannot be built from the file alone.
        ValueError: no such entry.
    """
    found = inspect_weights(path, tensors_only=tensors_only, any_network=True)
    known = {**found.settings, **_of_catalogue(found, entry)}
    if entry is None and len(found.among) == 1:
        entry = found.among[0].name
    told = {"file": path.name, "sha256": found.digests.get("sha256", "")[:16], "entry": entry}
    told["layout"] = found.layout.slug if found.layout else "medgenesis"
    told["input_normalisation"] = known.get("input_normalisation", "none")
    return _built(found, known), known, told


def _of_catalogue(found: Inspected, entry: str | None) -> Mapping[str, Any]:
    """What the models that a file may be agree in."""
    if entry is not None:
        return {} if entry == OTHER else published(entry).settings
    if not found.among:
        return {}
    first, *others = found.among
    for name in _SEEN:
        if any(other.settings.get(name) != first.settings.get(name) for other in others):
            told = ", ".join(f"{one.name}: {one.settings.get(name)}" for one in found.among)
            raise CheckpointError(
                f"{found.path}: must be told which published file it is, for {name} differs; found keys of several "
                f"({told}). Name it FILE#NAME, or FILE#{OTHER}."
            )
    return first.settings


def _built(found: Inspected, known: Mapping[str, Any]) -> nn.Module:
    slug = found.layout.slug if found.layout else None
    flat = {key.removeprefix("encoder."): value for key, value in found.weights.items()}
    if "backbone" in known or any(key in flat for key in ("conv1.weight", "features.conv0.weight")):
        seen = known.get("input_normalisation", "none")
        return ResNet25D(known.get("backbone", backbone_of(flat)), slices_of(flat), input_normalisation=seen)
    if slug == "nnunet-v1":
        return DynUNet(**dynunet_settings(found.weights))
    if slug in ("swin-vit", "voco"):
        return SwinUNETR(out_channels=1, **swin_settings(found.weights))
    stem = found.weights.get("encoder.levels.0.0.conv.weight")
    if stem is None:
        raise CheckpointError(
            f"{found.path}: must be weights of a network that the file alone tells; found {slug or 'another one'}. "
            "Give the bundle that it belongs to, or module:callable."
        )
    norm = {"norm": known["norm"]} if "norm" in known else {}
    return UNet3D(in_channels=stem.shape[1], out_channels=stem.shape[1], width=stem.shape[0], **norm)
