"""Perceptual distance as a question of the study: of the reconstructions that `inversion` has left in its folder."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medgenesis.errors import DatalistError
from medgenesis.progress import track
from medgenesis.storage.tables import write_table
from medgenesis.transfer.analyses.likeness import likeness
from medgenesis.transfer.analyses.perceptual import Distance, feature_distance, lpips_distance
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.result_settings import settings_said
from medgenesis.transfer.results import DAMAGE, file_word, load_results, over_images, save_result

logger = logging.getLogger(__name__)


def ask_perceptual(
    folder: str | Path, *, nets: Sequence[str] = (), by: Sequence[Encoder] = (), device: str = "cpu"
) -> list[dict[str, Any]]:
    """Compare all reconstructions of a study with their originals.

    Args:
        folder: of the study, with results of `inversion`.
        nets: of LPIPS: "alex", "vgg", "squeeze".
        by: encoders whose features compare; their figures are not LPIPS, and say so in their names. A 3D encoder
            compares volumes alone.
        device: of LPIPS.

    Returns:
        The results, one an inversion: means over its images of `lpips_NET`, `features of NAME`, `ssim` and `mse`, with
        the least and the most. `OUT/perceptual_….csv` has a row an encoder, a column a data set; empty where there is
        no pair.

    Raises:
        DatalistError: no reconstructions, or a file of them that cannot be read.
        ValueError: nothing to compare by, or LPIPS is not there.
    """
    inversions = load_results(folder, "inversion")
    if not inversions:
        raise DatalistError(
            f"{folder}: must hold reconstructions; found none. Ask for them first: medgenesis transfer inversion."
        )
    if not nets and not by:
        raise ValueError("nets, by: must name one to compare by; found none. Give --net alex, or --by ENCODER.")
    distances: dict[str, tuple[Distance, int | None]] = {}
    for net in nets:
        distances[f"lpips_{net}"] = (lpips_distance(net, device), None)
    for encoder in by:
        distances[f"features of {encoder.name}"] = (feature_distance(encoder), encoder.dims)
    compared_by = {"lpips": list(nets), "features": {one.name: one.fingerprint for one in by}}
    for inversion in track(inversions, "inversions"):
        pairs = list(_pairs(folder, inversion))
        figures = {}
        for name, (distance, dims) in distances.items():
            if dims != 3 or pairs[0][0].ndim == 4:  # a 3D encoder sees no images
                figures[name] = over_images([distance(*map(torch.from_numpy, pair)) for pair in pairs])
        alike = [likeness(*pair) for pair in pairs]
        figures |= {name: over_images([one[name] for one in alike]) for name in ("ssim", "mse")}
        settings = {**inversion["settings"], "by": compared_by}
        save_result(folder, "perceptual", inversion["encoder"], inversion["dataset"], settings, figures)
    results = load_results(folder, "perceptual")
    for name in distances:
        _write(Path(folder) / f"perceptual_{file_word(name.removeprefix('lpips_'))}.csv", name, results)
    return [one for one in results if one["settings"]["by"] == compared_by]


def _pairs(folder: str | Path, inversion: Mapping[str, Any]):
    place = Path(folder) / "inversion" / inversion["path"].stem
    files = sorted(place.glob("*.npz"))
    if not files:
        raise DatalistError(
            f"{place}: must hold the pairs of its inversion; found none. Ask for inversion once more, or remove "
            f"{inversion['path'].name}."
        )
    asked = inversion["settings"].get("images", len(files))
    if len(files) != asked:
        raise DatalistError(
            f"{place}: must hold the pairs of all {asked} images of its inversion; found {len(files)}. Ask for "
            "inversion once more."
        )
    for file in files:
        try:
            with np.load(file, allow_pickle=False) as pair:
                yield pair["original"], pair["reconstruction"]
        except DAMAGE as error:
            raise DatalistError(
                f"{file}: cannot be read as a pair ({error or type(error).__name__}). Ask for inversion once more."
            ) from error


def _write(path: Path, measure: str, results: Sequence[Mapping[str, Any]]) -> None:
    datasets = sorted({one["dataset"]["dataset"] for one in results})
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in results:
        if measure in one["figures"]:
            key = (one["encoder"]["name"], settings_said(one, results))
            row = rows.setdefault(key, dict(zip(("model", "settings"), key, strict=True)))
            row[one["dataset"]["dataset"]] = one["figures"][measure]["value"]
    write_table(path, [rows[key] for key in sorted(rows)], ("model", "settings", *datasets))
