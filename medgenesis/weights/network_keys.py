"""Which keys of a network belong to one part, or name one tensor, and which of them a file leaves as they begin."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import torch
from torch import nn

from medgenesis.networks.parts import network_parts

# what networks with an `encoder` may have or lack: an encoder-only one has no decoder, YNet3D alone classifies
# patterns, SparseUNet3D alone has mask tokens
OPTIONAL_PARTS = ("decoder.", "head.", "classifier.", "mask_tokens.")


def absent_parts(keys: Collection[str]) -> tuple[str, ...]:
    """The optional parts of which there is nothing among the keys."""
    return tuple(part for part in OPTIONAL_PARTS if not any(key.startswith(part) for key in keys))


def of_parts_absent_in(other: Collection[str], keys: Collection[str]) -> tuple[str, ...]:
    """Those of ``keys`` that are of an optional part of which ``other`` has nothing, where both have an encoder."""
    if not all(any(key.startswith("encoder.") for key in side) for side in (other, keys)):
        return ()
    return tuple(key for key in keys if key.startswith(absent_parts(other)))


def of_another_head(other: Mapping, keys: Mapping) -> tuple[str, ...]:
    """Those of ``keys`` that are of a head on other levels than that of ``other`` (``head_levels``)."""
    kinds = ("head.conv.", "head.convs.")
    for theirs, own in (kinds, kinds[::-1]):
        if any(key.startswith(theirs) for key in keys) and any(key.startswith(own) for key in other):
            return tuple(key for key in keys if key.startswith("head."))
    return ()


def names_of_tensors(network: nn.Module) -> list[list[str]]:
    """The keys of a network, those of one tensor together (DynUNet and nnU-Net's have several names for some)."""
    names: dict[int, list[str]] = {}
    for key, value in network.state_dict(keep_vars=True).items():
        names.setdefault(id(value), []).append(key)
    return list(names.values())


def under_all_names(found: dict[str, torch.Tensor], names: Iterable[Sequence[str]]) -> dict[str, torch.Tensor]:
    """The same weights, also under the other names that the network has for the same tensors."""
    again = {}
    for same in names:
        given = next((key for key in same if key in found), None)
        if len(same) > 1 and given is not None:
            again |= {key: found[given] for key in same if key not in found}
    return {**found, **again}


def encoder_prefixes(network: nn.Module) -> tuple[str, ...]:
    """What the keys of a network's encoder begin with, by all names of its tensors."""
    try:
        return tuple(f"{name}." for name in network_parts(network).encoder_names)
    except ValueError as error:
        raise ValueError(
            f'parts: must be "all" for a network whose encoder is not known; found "encoder" and '
            f"{type(network).__name__}. Take all of the weights, or let the network have a property `encoder` that "
            "returns the module."
        ) from error


def of_decoder_alone(network: nn.Module, names: Iterable[Sequence[str]], head: str | None) -> set[str]:
    """The keys of a module `decoder` that are of no head, count nothing, and name no tensor of the encoder again."""
    heads = tuple(f"{one}." for one in (*(getattr(network, "head_names", None) or ()), head) if one)
    own = {key for key, *_ in names if key.startswith("decoder.") and not key.startswith(heads)}
    return {key for key in own if not key.endswith("num_batches_tracked")}


def fresh_keys(
    network: nn.Module,
    found: Mapping,
    own: Mapping,
    names: Iterable[Sequence[str]],
    *,
    head: str | None,
    always: bool,
) -> tuple[str, ...]:
    """The keys that are to stay newly initialised: of heads that do not fit, and of parts that the file lacks.

    All keys of a head, for half a head would fit neither task. Of several names of a tensor the first says of which
    part it is: the decoder of nnU-Net's network holds the encoder, too.
    """
    again = {key for _, *others in names for key in others}
    fresh = {key for key in of_parts_absent_in(found.keys() - again, own) if key not in found}
    for name in network_parts(network, head=head).heads:
        keys = [key for key in own if key.startswith(f"{name}.")]
        if always or any(key in found and found[key].shape != own[key].shape for key in keys):
            fresh.update(keys)
    return tuple(key for key in own if key in fresh)
