"""Which published weights a network began with, and their terms: they stay with all that is trained from it."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from medgenesis.weights.catalog import Published
from medgenesis.weights.kept import ORIGIN, kept

_NAME = "weights_origin"  # of the attribute by which a network carries it through its training
_WORSE_FIRST = (False, None, True)


def published_origin(among: Sequence[Published], source: Mapping[str, Any]) -> dict[str, Any]:
    """The origin of a published file, as plain data.

    Args:
        among: which of the catalogue it is; several: it may be any of them, under the strictest terms; none: unknown.
        source: name and checksums of the file.
    """

    def of(name: str, none: str = "not known") -> str:
        return " or ".join(dict.fromkeys(str(getattr(entry, name)) for entry in among)) or none

    uses = [entry.commercial for entry in among] or [None]
    return {
        "name": of("name") if among else None,
        "title": of("title", "not in the catalogue"),
        "address": of("address") if among else None,
        "terms": of("terms"),
        "commercial_use": next(use for use in _WORSE_FIRST if use in uses),
        "expects": of("expects"),
        "learnt_from": of("learnt_from"),
        "source": dict(source),
    }


def kept_origin(checkpoint: Any) -> dict[str, Any] | None:
    """The origin kept in a checkpoint of ours; None: it did not begin with published weights, or is not of ours."""
    found = kept(checkpoint, ORIGIN)
    return None if found is None else dict(found)


def set_origin(network: nn.Module, origin: Mapping[str, Any] | None) -> None:
    """Let a network carry the origin of the weights that it has been given."""
    setattr(network, _NAME, None if origin is None else dict(origin))


def origin_of(module: nn.Module) -> dict[str, Any] | None:
    """The origin of the weights that a network, or a part of a method, has begun with and was trained from; or None."""
    found = next((held for part in module.modules() if (held := part.__dict__.get(_NAME))), None)
    return None if found is None else {**found, "trained_further": True}


def in_words(origin: Mapping[str, Any]) -> str:
    """Title, name where there is one, and terms in one line."""
    name = f" [{origin['name']}]" if origin.get("name") else ""
    further = ", trained further" if origin.get("trained_further") else ""
    use = {False: " (no commercial use)", None: " (commercial use not stated)"}.get(origin.get("commercial_use"), "")
    return f"{origin.get('title')}{name}{further}: {origin.get('terms')}{use}"
