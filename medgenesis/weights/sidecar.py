"""What stands beside imported weights: where they come from, under which terms, what was done to them."""

import json
from collections.abc import Mapping
from typing import Any

from medgenesis.weights.catalog import Published
from medgenesis.weights.inspection import Inspected
from medgenesis.weights.report import WeightsReport


def origin_of(
    found: Inspected,
    entry: Published | None,
    report: WeightsReport,
    settings: Mapping[str, Any],
    *,
    version: str,
    partial: bool,
) -> dict[str, Any]:
    """The content of the sidecar: plain data, and no path of this machine.

    Args:
        found: the file.
        entry: which of the catalogue it is; None: none.
        report: how it met the network.
        settings: kept among the weights.
        version: of medgenesis.
        partial: what fitted was taken.
    """
    known = {
        "name": entry.name if entry else None,
        "title": entry.title if entry else "of our own training" if found.ours else "not in the catalogue",
        "address": entry.address if entry else None,
        "terms": entry.terms if entry else "not known",
        "commercial_use": entry.commercial if entry else None,
        "expects": entry.expects if entry else "not known",
        "learnt_from": entry.learnt_from if entry else "not known",
    }
    return {
        "source": {"file": found.path.name, "bytes": found.path.stat().st_size, **found.digests},
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


def sidecar_text(origin: Mapping[str, Any]) -> str:
    """As JSON."""
    return json.dumps(origin, indent=1, ensure_ascii=False) + "\n"
