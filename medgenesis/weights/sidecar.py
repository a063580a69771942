"""What stands beside imported weights: where they come from, under which terms, what was done to them."""

import json
from collections.abc import Mapping
from typing import Any

from medgenesis.weights.inspection import Inspected
from medgenesis.weights.origin import published_origin
from medgenesis.weights.report import WeightsReport


def sidecar_of(
    found: Inspected,
    origin: Mapping[str, Any] | None,
    report: WeightsReport,
    settings: Mapping[str, Any],
    *,
    version: str,
    partial: bool,
) -> dict[str, Any]:
    """The content of the sidecar: plain data, and no path of this machine.

    Args:
        found: the file.
        origin: kept among the weights (`medgenesis.weights.origin`); None: the file is of our own training.
        report: how it met the network.
        settings: kept among the weights.
        version: of medgenesis.
        partial: what fitted was taken.
    """
    known = {**published_origin((), {}), "title": "of our own training"} if origin is None else dict(origin)
    began_with = known.pop("source")
    source = source_of(found)
    return {
        "source": source,
        **({} if began_with in ({}, source) else {"began_with": began_with}),
        **known,
        "layout": found.layout.slug if found.layout else found.report.layout,
        "settings": dict(settings),
        "loaded": len(report.matched),
        "share_of_network": round(report.share, 4),
        "partial": partial,
        "newly_initialised": list(report.fresh),
        "missing": list(report.missing),
        "dropped": list(report.dropped),
        "made": list(report.made),
        "unknown_to_network": list(report.unexpected),
        "of_another_shape": [list(map(str, one)) for one in report.mismatched],
        "medgenesis": version,
    }


def source_of(found: Inspected) -> dict[str, Any]:
    """Name, size and checksums of a file."""
    return {"file": found.path.name, "bytes": found.path.stat().st_size, **found.digests}


def sidecar_text(origin: Mapping[str, Any]) -> str:
    """As JSON."""
    return json.dumps(origin, indent=1, ensure_ascii=False) + "\n"
