"""What stands beside imported weights: where they come from, under which terms, what was done to them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medgenesis import __version__
from medgenesis.storage.atomic import write_text
from medgenesis.storage.checkpoint import save_checkpoint
from medgenesis.storage.earlier_weights import keep_earlier
from medgenesis.weights.origin import published_origin
from medgenesis.weights.report import WeightsReport


def sidecar_of(
    source: Mapping[str, Any],
    layout: str,
    origin: Mapping[str, Any] | None,
    report: WeightsReport,
    settings: Mapping[str, Any],
    told: Mapping[str, Any] | None = None,
    *,
    partial: bool = False,
) -> dict[str, Any]:
    """The content of the sidecar: plain data, and no path of this machine.

    Args:
        source: of the file (`source_of`).
        layout: of the file.
        origin: kept among the weights (`medgenesis.weights.origin`); None: the file is of our own training.
        report: how it met the network.
        settings: kept among the weights.
        told: what a published file says of its network and its images besides.
        partial: what fitted was taken.
    """
    known = {**published_origin((), {}), "title": "of our own training"} if origin is None else dict(origin)
    began_with = known.pop("source")
    return {
        "source": dict(source),
        **({} if began_with in ({}, source) else {"began_with": began_with}),
        **known,
        "layout": layout,
        "settings": dict(settings),
        **({"told_by_file": dict(told)} if told else {}),
        "loaded": len(report.matched),
        "share_of_network": round(report.share, 4),
        "partial": partial,
        "newly_initialised": list(report.fresh),
        "missing": list(report.missing),
        "dropped": list(report.dropped),
        "made": list(report.made),
        "unknown_to_network": list(report.unexpected),
        "of_another_shape": [list(map(str, one)) for one in report.mismatched],
        "medgenesis": __version__,
    }


def source_of(path: str | Path, digests: Mapping[str, str]) -> dict[str, Any]:
    """Name, size and checksums of a file."""
    return {"file": Path(path).name, "bytes": Path(path).stat().st_size, **digests}


def save_with_sidecar(weights: Mapping[str, Any], sidecar: Mapping[str, Any], path: Path) -> Path:
    """Write weights and what stands beside them; what was there is kept, as a pair, in `earlier/`.

    Args:
        weights: a state dict, with its settings and origin.
        sidecar: of `sidecar_of`.
        path: of the weights.

    Returns:
        The sidecar's path.

    Raises:
        OutputError: one of them cannot be written.
    """
    keep_earlier(path, path.parent / "earlier")
    save_checkpoint(weights, path)
    write_text(path.with_suffix(".json"), sidecar_text(sidecar))
    return path.with_suffix(".json")


def sidecar_text(origin: Mapping[str, Any]) -> str:
    """As JSON."""
    return json.dumps(origin, indent=1, ensure_ascii=False) + "\n"
